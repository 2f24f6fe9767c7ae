/* The load client of the simulator benchmark: one thread, one epoll set, N keep-alive connections, each with one
 * request at a time; the next one follows at once. It reads whole answers, counts their SSE frames and times them.
 *
 *   load PORT CONNECTIONS WARM_S SECONDS GAP_MS BODY [PACED [HEADER]]
 *
 * GAP_MS 0 measures throughput. Otherwise the streams are paced and two kinds of lateness are kept: of each gap
 * over GAP_MS, and of each frame against the stream's own schedule, frame 1 + k * GAP_MS (drift shows there). Frame 0
 * has the role and may come together with frame 1; frames from number PACED on (finish, usage, DONE) may come together
 * with the last piece. Neither is timed.
 * Every run of '@' in HEADER and BODY is overwritten with the number of the request, so that no two requests are the same.
 * Requests start spread over WARM_S; only what happens after WARM_S counts. The answer is one JSON object; "cpu" is
 * this client's own share of a core: near 1 the client is the limit, and the figures are lower bounds.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { COUNTERS = 8, CARRY = 8, ROOM = 1 << 18, BATCH = 512, SLOTS = 100000 };
static const double SLOT_S = 20e-6;
static const char MARK[] = "data:";
static const char LAST_CHUNK[] = "\r\n0\r\n\r\n";

typedef struct {
  int fd, busy, frames, carried;
  long left; /* bytes of the body still to come; -1: chunked */
  double asked, first, last;
  char carry[CARRY];
} peer;

typedef struct {
  uint32_t slot[SLOTS];
  uint64_t count;
  double worst;
} times;

static struct {
  uint64_t answers, frames, whole, bytes, failed, refused; /* whole: frames of complete answers */
  times gap, drift, wait;
} seen;

static char *request;
static int request_size, epoll, paced = 1 << 30;
static struct { int at, size; } counters[COUNTERS];
static uint64_t serial;
static struct sockaddr_in address;
static double gap_s;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu_s(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return u.ru_utime.tv_sec + u.ru_stime.tv_sec + 1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void keep(times *t, double s) {
  if (s < 0) s = 0;
  uint64_t i = s / SLOT_S;
  t->slot[i < SLOTS ? i : SLOTS - 1]++;
  t->count++;
  if (s > t->worst) t->worst = s;
}

static double quantile_ms(const times *t, double q) {
  uint64_t sum = 0, wanted = t->count * q;
  for (int i = 0; i < SLOTS; i++)
    if ((sum += t->slot[i]) > wanted) return (i + 1) * SLOT_S * 1e3;
  return 0;
}

static void ask(peer *p) {
  ++serial;
  for (int k = 0; k < COUNTERS; k++) {
    uint64_t n = serial;
    for (int i = counters[k].size; i-- > 0; n /= 10) request[counters[k].at + i] = '0' + n % 10;
  }
  p->busy = 1;
  p->frames = p->carried = 0;
  p->left = 0;
  p->asked = now();
  if (send(p->fd, request, request_size, MSG_NOSIGNAL) != request_size) seen.failed++;
}

static void dial(peer *p, uint32_t index) {
  p->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (p->fd < 0 || connect(p->fd, (struct sockaddr *)&address, sizeof address) < 0) {
    perror("connect");
    exit(2);
  }
  int one = 1;
  setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  fcntl(p->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN, .data.u32 = index};
  epoll_ctl(epoll, EPOLL_CTL_ADD, p->fd, &e);
}

/* The head of an answer: sets what is left of its body. Answers of a loopback server bring their head whole. */
static void head(peer *p, const char *data, long size) {
  const char *end = memmem(data, size, "\r\n\r\n", 4);
  if (size < 12 || memcmp(data + 9, "200", 3) != 0) seen.refused++;
  p->left = -1;
  const char *length = end ? strcasestr(data, "content-length:") : NULL;
  if (length && length < end) p->left = atol(length + 15) + (end + 4 - data);
}

static void frame(peer *p, double t, int counting) {
  if (p->frames == 0 && counting) keep(&seen.wait, t - p->asked);
  if (p->frames == 1) p->first = t;
  if (p->frames > 1 && p->frames < paced && counting && gap_s > 0) {
    keep(&seen.gap, t - p->last - gap_s);
    keep(&seen.drift, t - p->first - (p->frames - 1) * gap_s);
  }
  p->last = t;
  p->frames++;
  seen.frames++;
}

/* Takes what has arrived; returns whether the answer is complete. */
static int take(peer *p, char *data, long size, int counting) {
  double t = now();
  if (p->busy == 1) {
    data[size] = 0;
    head(p, data, size);
    p->busy = 2;
  }
  seen.bytes += size;
  if (p->left >= 0) return (p->left -= size) <= 0;
  char *from = data - p->carried;
  memcpy(from, p->carry, p->carried);
  const char *at = data - (p->carried < 4 ? p->carried : 4);
  while ((at = memmem(at, data + size - at, MARK, 5))) {
    frame(p, t, counting);
    at += 5;
  }
  long all = size + p->carried;
  if (all >= 7 && memcmp(data + size - 7, LAST_CHUNK, 7) == 0) return 1;
  p->carried = all < CARRY ? all : CARRY;
  memcpy(p->carry, data + size - p->carried, p->carried);
  return 0;
}

static void show(double seconds, double cpu) {
  printf("{\"answers_s\":%.1f,\"frames_s\":%.0f,\"frames_answer\":%.2f,\"mb_s\":%.1f,\"gap_p50\":%.2f,\"gap_p99\":%.2f,\"gap_max\":%.1f,"
         "\"drift_p50\":%.2f,\"drift_p99\":%.2f,\"wait_p50\":%.2f,\"wait_p99\":%.2f,\"cpu\":%.2f,\"failed\":%lu,"
         "\"refused\":%lu}\n",
         seen.answers / seconds, seen.frames / seconds, seen.answers ? seen.whole / (double)seen.answers : 0.0,
         seen.bytes / seconds / 1e6, quantile_ms(&seen.gap, .5),
         quantile_ms(&seen.gap, .99), seen.gap.worst * 1e3, quantile_ms(&seen.drift, .5),
         quantile_ms(&seen.drift, .99), quantile_ms(&seen.wait, .5), quantile_ms(&seen.wait, .99), cpu / seconds,
         seen.failed, seen.refused);
}

int main(int count, char **given) {
  if (count < 7) {
    fprintf(stderr, "usage: load PORT CONNECTIONS WARM_S SECONDS GAP_MS BODY [PACED [HEADER]]\n");
    return 1;
  }
  int peers = atoi(given[2]), started = 0, counting = 0;
  double warm = atof(given[3]), seconds = atof(given[4]);
  gap_s = atof(given[5]) / 1e3;
  if (count > 7) paced = atoi(given[7]);
  const char *header = count > 8 ? given[8] : "";
  request_size = asprintf(&request,
                          "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%s\r\nauthorization: Bearer sk-benchmark\r\n"
                          "content-type: application/json\r\naccept: */*\r\nuser-agent: benchmark\r\n"
                          "%s%scontent-length: %zu\r\n\r\n%s",
                          "/v1/chat/completions", given[1], header, *header ? "\r\n" : "", strlen(given[6]), given[6]);
  for (int k = 0, at = 0; k < COUNTERS; at += counters[k++].size)
    counters[k].at = at += strcspn(request + at, "@"), counters[k].size = strspn(request + at, "@");
  address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(given[1]))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  epoll = epoll_create1(0);
  peer *all = calloc(peers, sizeof *all);
  static char room[CARRY + ROOM + 1];
  static struct epoll_event events[BATCH];
  /* Golden-ratio phases: an even spacing would start many streams in the same millisecond of a gap. */
  double begun = now(), counted = 0, cpu = 0;
  for (;;) {
    double t = now();
    if (!counting && t >= begun + warm) {
      counting = 1;
      counted = t;
      cpu = cpu_s();
      seen.answers = seen.frames = seen.whole = seen.bytes = 0;
    }
    if (counting && t >= counted + seconds) break;
    while (started < peers) {
      double phase = started * 0.6180339887498949;
      double start = begun + 0.8 * warm * started / peers + gap_s * (phase - (long)phase);
      if (start > t) break;
      dial(&all[started], started);
      ask(&all[started++]);
    }
    int ready = epoll_wait(epoll, events, BATCH, started < peers ? 0 : 5);
    for (int i = 0; i < ready; i++) {
      peer *p = &all[events[i].data.u32];
      long size = recv(p->fd, room + CARRY, ROOM, 0);
      if (size < 0 && errno == EAGAIN) continue;
      if (size <= 0) {
        seen.failed++;
        close(p->fd);
        dial(p, events[i].data.u32);
        ask(p);
        continue;
      }
      if (!take(p, room + CARRY, size, counting)) continue;
      seen.answers++;
      seen.whole += p->frames;
      ask(p);
    }
  }
  show(now() - counted, cpu_s() - cpu);
  return 0;
}
