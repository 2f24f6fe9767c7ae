"""Reports: `document` builds report.json from a judgement; everything else is a view of it."""
