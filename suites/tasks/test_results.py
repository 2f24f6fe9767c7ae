"""Results of completed tasks: named by kind, counted, stored by the gateway."""

from weighbridge.checks import tasks, tasks_results
from weighbridge.evidence import Observation
from weighbridge.suite import Judge, requirement

MEDIA = ("image", "video", "audio")


@requirement("TPOL-10", surface="tasks")
def test_image_results_are_urls(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients download each entry of this list."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_results.has_urls, kind="image"))


@requirement("TPOL-11", surface="tasks")
def test_video_results_are_urls(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients download each entry of this list."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_results.has_urls, kind="video"))


@requirement("TPOL-12", surface="tasks")
def test_audio_results_are_urls(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients download each entry of this list."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_results.has_urls, kind="audio"))


@requirement("TPOL-13", surface="tasks")
def test_last_frame_is_delivered(judge: Judge, task_fields: Observation) -> None:
    """Clients chain clips by feeding the last frame into the next job."""
    judge.settle(*tasks.told(task_fields, ("last-frame",), tasks_results.has_last_frame))


@requirement("TPOL-14", surface="tasks")
def test_stem_tracks_are_labelled(judge: Judge, task_lifecycles: Observation) -> None:
    """Without labels nobody can tell the vocals from the drums."""
    judge.settle(*tasks.told(task_lifecycles, ("completed",), tasks_results.labels_tracks, kind="audio"))


@requirement("TPOL-15", surface="tasks")
def test_n_images_give_n_urls(judge: Judge, task_fields: Observation) -> None:
    """The caller paid for n images."""
    judge.settle(*tasks.told(task_fields, ("several-images",), tasks_results.has_n_urls))


@requirement("TPOL-16", surface="tasks")
def test_results_are_on_own_storage(judge: Judge, task_lifecycles: Observation) -> None:
    """Clients store the URL and open it days later, when the provider's link has long expired."""
    rule = tasks_results.is_own_storage
    each = [tasks.told(task_lifecycles, ("completed",), rule, kind=kind) for kind in MEDIA]
    judge.settle(*(finding for findings in each for finding in findings))


@requirement("TPOL-16", surface="tasks")
def test_results_can_be_downloaded(judge: Judge, task_lifecycles: Observation) -> None:
    """A URL that cannot be opened is no result."""
    rule = tasks_results.is_downloadable
    each = [tasks.told(task_lifecycles, ("completed",), rule, kind=kind) for kind in MEDIA]
    judge.settle(*(finding for findings in each for finding in findings))
