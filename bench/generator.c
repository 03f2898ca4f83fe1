/* An open-loop load generator for thousands of requests a second: request i begins at i / rate, whatever became of
 * those before. One thread, epoll. Nothing is repeated: a refused or reset connection, a time-out, a status other than
 * 200, a body that is cut, too long or another one than expected, each count as a failure of that request.
 *
 *     generator ADDRESS PORT RATE TIMEOUT_MS METHODS FRESH_EVERY POST_PATH EXPECT COUNT
 *
 * METHODS is cycled through: G(ET), P(OST), H(EAD), O(PTIONS). Every FRESH_EVERY-th request has a connection of its
 * own (0: none), the others take an idle one, the one last used first. A body must begin with EXPECT; where POST_PATH
 * ends in "echo", the answer to a POST must be what was sent.
 *
 * Says "begun" once it has begun. After COUNT requests (0: any number), or when its standard input ends, no request
 * begins any more; when the last answer has come, standard output has a line of JSON (sent, failed, late_us: the
 * latest that a request began after it was due, failures: the first of them in words, releases: answers per third word
 * of the body, last_us: when the last one of each came, by the monotonic clock) and after it one 32-bit number per
 * request: its latency in microseconds from when it was due, or -1.
 *
 * Compiled and read by bench/rate.py.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 8192, CONNECTIONS = 16384, IDLE_US = 3000000, AT_ONCE = 16 };
enum { WORDS = 40, LONGEST_WORD = 80, RELEASES = 1000 };

typedef struct {
    int fd;            /* -1: not in use */
    int number;        /* of its request; -1: idle */
    int fresh, close;  /* a connection of its own; the other side said that it ends it */
    char method;
    int64_t due, since;
    int out, written, in;
    int head, length;  /* bytes of the response's head (0: not there yet), and of its body */
    char request[2048], response[BUFFER];
} Connection;

static Connection pool[CONNECTIONS];
static int spare[CONNECTIONS], spares;
static int idle[CONNECTIONS], idles;
static int32_t *latencies;
static int capacity, sent, failed, ended, epoll;
static int64_t begun, late, timeout_us;
static char words[WORDS][LONGEST_WORD];
static char releases[RELEASES][16];
static int answers[RELEASES], known;
static int64_t last[RELEASES];
static struct sockaddr_in target;
static const char *methods, *post_path, *expect;
static int fresh_every, echoes;

static int64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec * 1000000LL + at.tv_nsec / 1000;
}

static void drop(Connection *c) {
    if (c->fd >= 0) close(c->fd);
    c->fd = -1;
    spare[spares++] = c - pool;
}

static const char *name_of(char method) {
    return method == 'P' ? "POST" : method == 'H' ? "HEAD" : method == 'O' ? "OPTIONS" : "GET";
}

static void fail_request(int number, char method, int fresh, int64_t due, const char *why) {
    if (failed < WORDS)
        snprintf(words[failed], LONGEST_WORD, "%.2f s: %s on a %s connection: %.30s", (due - begun) / 1e6,
                 name_of(method), fresh ? "fresh" : "kept", why);
    failed++;
    ended++;
    latencies[number] = -1;
}

static void fail(Connection *c, const char *why) {
    fail_request(c->number, c->method, c->fresh, c->due, why);
    drop(c);
}

static void count_release(const char *body, int length) {
    const char *space = memchr(body, ' ', length);
    char word[16] = "";
    if (space) space = memchr(space + 1, ' ', body + length - space - 1);
    for (int i = 0; space && i < 15 && space + 1 + i < body + length && space[1 + i] > ' '; i++) word[i] = space[1 + i];
    int i = known - 1;
    while (i >= 0 && strcmp(releases[i], word)) i--;
    if (i < 0 && known == RELEASES) return;
    if (i < 0) strcpy(releases[i = known++], word);
    answers[i]++;
    last[i] = now_us();
}

/* The right answer to the request is there, whole. */
static void succeed(Connection *c) {
    const char *body = c->response + c->head;
    if (c->method == 'P' && echoes) {
        const char *ours = memmem(c->request, c->out, "\r\n\r\n", 4) + 4;
        if (c->length != c->request + c->out - ours || memcmp(body, ours, c->length))
            return fail(c, "another body than sent");
    } else if (c->method != 'H') {
        size_t size = strlen(expect);
        if (c->length < (int)size || memcmp(body, expect, size)) return fail(c, "wrong body");
        count_release(body, c->length);
    }
    latencies[c->number] = (int32_t)(now_us() - c->due);
    ended++;
    c->number = -1;
    if (c->fresh || c->close) return drop(c);
    c->since = now_us();
    idle[idles++] = c - pool;
}

static void parse_head(Connection *c) {
    char *end = memmem(c->response, c->in, "\r\n\r\n", 4);
    if (!end) return;
    c->head = end + 4 - c->response;
    c->length = -1;
    for (char *line = c->response; line < end; line++) {
        if (memcmp(line, "\r\n", 2)) continue;
        if (!strncasecmp(line + 2, "content-length:", 15)) c->length = atoi(line + 17);
        if (!strncasecmp(line + 2, "connection: close", 17)) c->close = 1;
    }
}

static void receive(Connection *c) {
    for (;;) {
        if (c->in == BUFFER) return fail(c, "an answer too long");
        ssize_t got = recv(c->fd, c->response + c->in, BUFFER - c->in, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) return fail(c, strerror(errno));
        if (got == 0) return fail(c, c->in ? "the answer is cut" : "closed without an answer");
        c->in += got;
        if (!c->head) parse_head(c);
        if (!c->head) continue;
        if (strncmp(c->response, "HTTP/1.1 200", 12)) {
            char status[32];
            snprintf(status, sizeof status, "status %.3s", c->response + 9);
            return fail(c, status);
        }
        if (c->length < 0) return fail(c, "no Content-Length");
        int whole = c->head + (c->method == 'H' ? 0 : c->length);
        if (c->in > whole) return fail(c, "bytes after the answer");
        if (c->in == whole) return succeed(c);
    }
}

static void transmit(Connection *c) {
    while (c->written < c->out) {
        ssize_t done = send(c->fd, c->request + c->written, c->out - c->written, MSG_NOSIGNAL);
        if (done < 0 && errno == EAGAIN) return;
        if (done < 0) return fail(c, strerror(errno));
        c->written += done;
    }
}

static int opened(Connection *c) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = c - pool};
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) return 0;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&target, sizeof target) && errno != EINPROGRESS) return 0;
    return epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

/* An idle connection that the other side hasn't closed, as any client looks before it uses one; NULL: none. */
static Connection *kept(void) {
    while (idles) {
        Connection *c = &pool[idle[--idles]];
        char byte;
        ssize_t got = recv(c->fd, &byte, 1, MSG_PEEK);
        if (got < 0 && errno == EAGAIN && now_us() - c->since < IDLE_US) return c;
        drop(c);
    }
    return NULL;
}

static void request(double rate) {
    int number = sent++;
    if (number == capacity && !(latencies = realloc(latencies, sizeof *latencies * (capacity *= 2)))) exit(3);
    int64_t due = begun + (int64_t)(number * 1e6 / rate);
    char method = methods[number % strlen(methods)];
    int fresh = fresh_every && number % fresh_every == 0;
    Connection *c = fresh ? NULL : kept();
    if (!c) {
        if (!spares) return fail_request(number, method, fresh, due, "too many under way");
        c = &pool[spare[--spares]];
        c->fd = -1;
    }
    c->number = number;
    c->method = method;
    c->fresh = fresh;
    c->due = due;
    c->close = c->written = c->in = c->head = c->length = 0;
    char body[512] = "";
    for (int i = 0; method == 'P' && i <= number % 20; i++) sprintf(body + strlen(body), "request %d ", number);
    c->out = snprintf(c->request, sizeof c->request,
                      "%s %s HTTP/1.1\r\nHost: bench\r\n%sContent-Length: %zu\r\n\r\n%s", name_of(method),
                      method == 'P' ? post_path : "/", fresh ? "Connection: close\r\n" : "", strlen(body), body);
    if (c->fd < 0 && !opened(c)) return fail(c, strerror(errno));
    if (now_us() - due > late) late = now_us() - due;
    transmit(c); /* one that is still being connected says EAGAIN, and is written to when it is there */
}

static void happened(struct epoll_event *event) {
    Connection *c = &pool[event->data.u32];
    if (c->fd < 0 || c->number < 0) return; /* an idle one that was closed: seen when it is taken */
    int number = c->number;
    if (event->events & EPOLLOUT) transmit(c);
    /* also after an error: what came before it is an answer, or the error itself is read */
    if (c->fd >= 0 && c->number == number && event->events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) receive(c);
}

static void time_out(void) {
    int64_t now = now_us();
    for (int i = 0; i < CONNECTIONS; i++)
        if (pool[i].fd >= 0 && pool[i].number >= 0 && now - pool[i].due > timeout_us)
            fail(&pool[i], "no answer in time");
}

static void report(void) {
    printf("{\"sent\": %d, \"failed\": %d, \"late_us\": %lld, \"failures\": [", sent, failed, (long long)late);
    for (int i = 0; i < failed && i < WORDS; i++) printf("%s\"%s\"", i ? ", " : "", words[i]);
    printf("], \"releases\": {");
    for (int i = 0; i < known; i++) printf("%s\"%s\": %d", i ? ", " : "", releases[i], answers[i]);
    printf("}, \"last_us\": {");
    for (int i = 0; i < known; i++) printf("%s\"%s\": %lld", i ? ", " : "", releases[i], (long long)last[i]);
    printf("}}\n");
    fwrite(latencies, sizeof *latencies, sent, stdout);
}

int main(int count, char **words_given) {
    if (count != 10) return 2;
    target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(words_given[2]))};
    inet_pton(AF_INET, words_given[1], &target.sin_addr);
    double rate = atof(words_given[3]);
    timeout_us = atoi(words_given[4]) * 1000LL;
    methods = words_given[5];
    fresh_every = atoi(words_given[6]);
    post_path = words_given[7];
    expect = words_given[8];
    int most = atoi(words_given[9]);
    echoes = strlen(post_path) >= 4 && !strcmp(post_path + strlen(post_path) - 4, "echo");
    latencies = malloc(sizeof *latencies * (capacity = 1 << 16));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int i = CONNECTIONS - 1; i >= 0; i--) {
        pool[i].fd = -1;
        spare[spares++] = i;
    }
    struct epoll_event input = {.events = EPOLLIN | EPOLLHUP, .data.u32 = CONNECTIONS}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input);
    prctl(PR_SET_TIMERSLACK, 1000);
    printf("begun\n");
    fflush(stdout);
    begun = now_us();
    int64_t looked = begun;
    for (int over = 0; !over || ended < sent;) {
        int64_t now = now_us(), next = over ? now + 10000 : begun + (int64_t)(sent * 1e6 / rate);
        /* one that is behind looks for answers in between: they free connections */
        for (int count = 0; count < AT_ONCE && !over && next <= now; count++) {
            request(rate);
            over = most && sent == most;
            next = begun + (int64_t)(sent * 1e6 / rate);
        }
        if (now - looked > 100000) {
            time_out();
            looked = now;
        }
        now = now_us();
        struct timespec pause = {.tv_nsec = next <= now ? 0 : (next - now < 50000 ? next - now : 50000) * 1000};
        int ready = epoll_pwait2(epoll, events, 256, &pause, NULL);
        for (int i = 0; i < ready; i++) {
            if (events[i].data.u32 < CONNECTIONS) happened(&events[i]);
            else over = 1;
        }
        if (over) epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, &input);
    }
    report();
    return 0;
}
