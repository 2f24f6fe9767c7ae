/* A paced event-stream server, the truth that load clients are measured against.
 *
 *   cc -O2 -o paced paced.c && ./paced TTFT_US GAP_US CHUNKS [STAMP]
 *
 * Binds a free loopback port, prints it, serves until standard input ends. Every POST is answered by an
 * OpenAI chat completion stream: the first content event TTFT_US after the request was whole, then one every
 * GAP_US, each event one HTTP chunk and one write, due times absolute so that nothing drifts. Only the second event
 * comes after a part of the gap, another one for every stream: so streams never march in step, whatever the order in
 * which a client starts them, and every client has the same number of wake-ups. With STAMP every
 * content event is preceded by the comment line ": wb-sent NS", CLOCK_MONOTONIC just before its write.
 * GET /stats tells what the server itself attained since GET /reset: the reference for every client's figures.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define INPUT 65536
#define CONNECTIONS 16384
#define TICKS 200000 /* 20 us each: four seconds */
#define TICK_NS 20000

typedef struct {
    int64_t count, sum;
    uint32_t cell[TICKS];
} Timing;

typedef struct Stream {
    int fd;
    int place;   /* in the heap of streams that wait for their next event; -1 outside */
    int sent;
    int filled;
    int64_t asked, due, last;
    char *rest;  /* bytes that the socket did not take yet */
    size_t rest_size, rest_done;
    char input[INPUT];
} Stream;

static int64_t ttft_ns, gap_ns;
static int chunks, stamped;
static int poll_fd;
static Stream *heap[CONNECTIONS];
static int waiting;
static Timing first, gaps, late;
static int64_t started, finished, aborted, written;

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void note(Timing *timing, int64_t ns) {
    int64_t tick = ns < 0 ? 0 : ns / TICK_NS;
    timing->cell[tick < TICKS ? tick : TICKS - 1]++;
    timing->count++;
    timing->sum += ns;
}

static double quantile_us(const Timing *timing, double share) {
    int64_t rank = (int64_t)(share * (double)timing->count + 0.9999), seen = 0;
    if (!timing->count) return 0;
    for (int tick = 0; tick < TICKS; tick++)
        if ((seen += timing->cell[tick]) >= (rank ? rank : 1)) return (tick + 0.5) * TICK_NS / 1000.0;
    return 0;
}

/* ---- a binary heap by due time */
static void put(int place, Stream *stream) { heap[place] = stream; stream->place = place; }

static void sift(int place) {
    Stream *moving = heap[place];
    for (int above; place && heap[above = (place - 1) / 2]->due > moving->due; place = above) put(place, heap[above]);
    for (int below; (below = 2 * place + 1) < waiting; place = below) {
        if (below + 1 < waiting && heap[below + 1]->due < heap[below]->due) below++;
        if (heap[below]->due >= moving->due) break;
        put(place, heap[below]);
    }
    put(place, moving);
}

static void await(Stream *stream) { put(waiting, stream); sift(waiting++ ); }

static void forget(Stream *stream) {
    int place = stream->place;
    if (place < 0) return;
    stream->place = -1;
    if (place != --waiting) { put(place, heap[waiting]); sift(place); }
}

/* ---- output */
static void leave(Stream *stream) {
    if (stream->place >= 0) { aborted++; forget(stream); }
    close(stream->fd);
    free(stream->rest);
    free(stream);
}

static int keep_rest(Stream *stream, const char *data, size_t size) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = stream};
    char *grown = realloc(stream->rest, stream->rest_size + size);
    if (!grown) return -1;
    memcpy(grown + stream->rest_size, data, size);
    stream->rest = grown;
    stream->rest_size += size;
    return epoll_ctl(poll_fd, EPOLL_CTL_MOD, stream->fd, &event);
}

/* 0, or -1 after the peer was given up. */
static int say(Stream *stream, const char *data, size_t size) {
    ssize_t taken = stream->rest ? 0 : write(stream->fd, data, size);
    if (taken < 0 && errno != EAGAIN) { leave(stream); return -1; }
    if (taken < 0) taken = 0;
    if ((size_t)taken < size && keep_rest(stream, data + taken, size - (size_t)taken)) { leave(stream); return -1; }
    return 0;
}

static int drain(Stream *stream) {
    ssize_t taken = write(stream->fd, stream->rest + stream->rest_done, stream->rest_size - stream->rest_done);
    if (taken < 0) return errno == EAGAIN ? 0 : -1;
    stream->rest_done += (size_t)taken;
    if (stream->rest_done == stream->rest_size) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
        free(stream->rest);
        stream->rest = NULL;
        stream->rest_size = stream->rest_done = 0;
        return epoll_ctl(poll_fd, EPOLL_CTL_MOD, stream->fd, &event);
    }
    return 0;
}

static const char HEAD[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"
    "Transfer-Encoding: chunked\r\n\r\n";

static const char COMMON[] = "\"id\":\"chatcmpl-paced0123456789\",\"object\":\"chat.completion.chunk\","
                             "\"created\":1760000000,\"model\":\"paced\"";

static int chunk(char *to, const char *payload) {
    return sprintf(to, "%zx\r\n%s\r\n", strlen(payload), payload);
}

static int content(char *to, int64_t at, int number) {
    char payload[640];
    int size = stamped ? sprintf(payload, ": wb-sent %" PRId64 "\n", at) : 0;
    sprintf(payload + size, "data: {%s,\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\" word%d\"},"
            "\"logprobs\":null,\"finish_reason\":null}]}\n\n", COMMON,
            number ? "" : "\"role\":\"assistant\",", number % 10);
    return chunk(to, payload);
}

static int tail(char *to, int tokens) {
    char payload[640];
    int size;
    sprintf(payload, "data: {%s,\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,"
            "\"finish_reason\":\"stop\"}]}\n\n", COMMON);
    size = chunk(to, payload);
    sprintf(payload, "data: {%s,\"choices\":[],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":%d,"
            "\"total_tokens\":%d}}\n\n", COMMON, tokens, tokens + 8);
    size += chunk(to + size, payload);
    size += chunk(to + size, "data: [DONE]\n\n");
    return size + sprintf(to + size, "0\r\n\r\n");
}

/* The next part of the gap: the golden ratio's multiples fill the interval as evenly as can be. */
static double phase(void) {
    static double part;
    part += 0.6180339887498949;
    if (part >= 1) part -= 1;
    return part;
}

/* ---- one event of one stream that is due */
static void step(Stream *stream) {
    char out[4096];
    int64_t at = now_ns();
    int size = 0, number = stream->sent++;
    if (!number) size = sprintf(out, "%s", HEAD);
    size += content(out + size, at, number);
    note(&late, at - stream->due);
    note(number ? &gaps : &first, at - (number ? stream->last : stream->asked));
    stream->last = at;
    written++;
    if (stream->sent < chunks) {
        stream->due += number ? gap_ns : (int64_t)((double)gap_ns * phase());
        sift(stream->place);
    } else {
        forget(stream);
        finished++;
    }
    if (say(stream, out, (size_t)size) || stream->sent < chunks) return;
    /* The end is a write of its own, as at a provider that learns of it later. */
    say(stream, out, (size_t)tail(out, stream->sent));
}

static void reply(Stream *stream, const char *body) {
    char out[2048];
    int size = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                        strlen(body), body);
    say(stream, out, (size_t)size);
}

static void stats(Stream *stream) {
    char body[1024];
    snprintf(body, sizeof body,
             "{\"started\":%" PRId64 ",\"finished\":%" PRId64 ",\"aborted\":%" PRId64 ",\"chunks\":%" PRId64
             ",\"ttft_p50_us\":%.1f,\"ttft_p99_us\":%.1f,\"gap_p50_us\":%.1f,\"gap_p99_us\":%.1f"
             ",\"late_p50_us\":%.1f,\"late_p99_us\":%.1f}",
             started, finished, aborted, written, quantile_us(&first, .5), quantile_us(&first, .99),
             quantile_us(&gaps, .5), quantile_us(&gaps, .99), quantile_us(&late, .5), quantile_us(&late, .99));
    reply(stream, body);
}

static void answer(Stream *stream) {
    if (!strncmp(stream->input, "GET /stats", 10)) { stats(stream); return; }
    if (!strncmp(stream->input, "GET /reset", 10)) {
        memset(&first, 0, sizeof first); memset(&gaps, 0, sizeof gaps); memset(&late, 0, sizeof late);
        started = finished = aborted = written = 0;
        reply(stream, "{}");
        return;
    }
    if (!strncmp(stream->input, "GET ", 4)) {
        reply(stream, "{\"object\":\"list\",\"data\":[{\"id\":\"paced\",\"object\":\"model\",\"created\":1,\"owned_by\":\"paced\"}]}");
        return;
    }
    /* A client that looks before it loads asks for an answer in one piece; no streaming request lacks the word. */
    if (!strstr(stream->input, "\"stream\":true") && !strstr(stream->input, "\"stream\": true")) {
        reply(stream, "{\"id\":\"chatcmpl-paced\",\"object\":\"chat.completion\",\"created\":1760000000,\"model\":\"paced\","
                      "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"words\"},\"logprobs\":null,"
                      "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":8,\"completion_tokens\":1,\"total_tokens\":9}}");
        return;
    }
    stream->asked = now_ns();
    stream->sent = 0;
    stream->due = stream->asked + ttft_ns;
    started++;
    await(stream);
}

/* 0, or -1 when the stream is gone. */
static int take(Stream *stream) {
    for (;;) {
        ssize_t size = read(stream->fd, stream->input + stream->filled, (size_t)(INPUT - 1 - stream->filled));
        if (!size || (size < 0 && errno != EAGAIN)) { leave(stream); return -1; }
        if (size < 0) break;
        stream->filled += (int)size;
    }
    stream->input[stream->filled] = 0;
    char *end = strstr(stream->input, "\r\n\r\n"), *length = strcasestr(stream->input, "\ncontent-length:");
    if (!end) return 0;
    int whole = (int)(end - stream->input) + 4 + (length && length < end ? atoi(length + 16) : 0);
    if (stream->filled < whole) return 0;
    stream->filled = 0; /* one request at a time: no client here pipelines */
    answer(stream);
    return 0;
}

static void welcome(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        Stream *stream = waiting < CONNECTIONS - 1 ? calloc(1, sizeof *stream) : NULL;
        if (!stream) { close(fd); continue; }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
        stream->fd = fd;
        stream->place = -1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int main(int argc, char **argv) {
    static struct epoll_event events[512];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (argc < 4) { fprintf(stderr, "usage: paced TTFT_US GAP_US CHUNKS [STAMP]\n"); return 2; }
    ttft_ns = atoll(argv[1]) * 1000;
    gap_ns = atoll(argv[2]) * 1000;
    chunks = atoi(argv[3]);
    stamped = argc > 4 && atoi(argv[4]);
    signal(SIGPIPE, SIG_IGN);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) { perror("listen"); return 1; }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    poll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = NULL; /* standard input: its end is ours */
    event.events = EPOLLIN | EPOLLHUP;
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, 0, &event);
    for (;;) {
        struct timespec pause, *limit = NULL;
        if (waiting) {
            int64_t left = heap[0]->due - now_ns();
            left = left > 0 ? left : 0;
            pause = (struct timespec){left / 1000000000, left % 1000000000};
            limit = &pause;
        }
        int ready = epoll_pwait2(poll_fd, events, 512, limit, NULL);
        for (int i = 0; i < ready; i++) {
            Stream *stream = events[i].data.ptr;
            if (!stream) { char byte; if (read(0, &byte, 1) <= 0) return 0; }
            else if ((void *)stream == (void *)&listener) welcome(listener);
            else if (events[i].events & EPOLLOUT && stream->rest && drain(stream)) leave(stream);
            else if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take(stream);
        }
        for (int64_t at = now_ns(); waiting && heap[0]->due <= at;) step(heap[0]);
    }
}
