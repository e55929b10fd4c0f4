/*
 * main.c - options, the listening sockets and the event loop of the fault proxy. README.md of this
 * folder tells how to use it.
 */
#include "proxy.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

struct settings settings;
int poll_fd = -1;
char scratch[SCRATCH_SIZE];

static struct sockaddr_storage server;
static socklen_t server_size;

uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void fail(const char *what, const char *object)
{
    fprintf(stderr, "fault_proxy: %s: %s: %s\n", object, what, strerror(errno));
    exit(1);
}

/* "127.0.0.1:80" or "[::1]:80": numbers only, no name service. */
static void parse_address(const char *text, struct sockaddr_storage *address, socklen_t *size)
{
    char host[64];
    struct addrinfo *list = NULL;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    const char *colon = strrchr(text, ':');
    const char *start = text;
    const char *end = colon;
    if (colon && *text == '[' && colon > text && colon[-1] == ']') {
        start++;
        end--;
    }
    if (colon) {
        snprintf(host, sizeof host, "%.*s", (int)(end - start), start);
    }
    if (!colon || getaddrinfo(host, colon + 1, &hints, &list) != 0) {
        fprintf(stderr, "fault_proxy: %s: not an address and a port\n", text);
        exit(2);
    }
    memcpy(address, list->ai_addr, list->ai_addrlen);
    *size = list->ai_addrlen;
    freeaddrinfo(list);
}

int connect_to_server(bool *connected)
{
    int one = 1;
    int fd = socket(server.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *connected = connect(fd, (struct sockaddr *)&server, server_size) == 0;
    if (!*connected && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

static void watch(struct handler *handler)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = handler};
    if (epoll_ctl(poll_fd, EPOLL_CTL_ADD, handler->fd, &event) != 0) {
        fail("epoll", "socket");
    }
}

/* Listens and says where on stdout. */
static void listen_on(const char *text, struct handler *listener)
{
    struct sockaddr_storage address = {0};
    socklen_t size = 0;
    char host[64], port[8];
    int one = 1;
    parse_address(text, &address, &size);
    listener->fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, size) != 0 ||
        listen(listener->fd, 4096) != 0) {
        fail("cannot listen", text);
    }
    size = sizeof address;
    getsockname(listener->fd, (struct sockaddr *)&address, &size);
    getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                NI_NUMERICHOST | NI_NUMERICSERV);
    printf(address.ss_family == AF_INET6 ? "[%s]:%s\n" : "%s:%s\n", host, port);
    fflush(stdout);
}

static void accept_all(const struct handler *listener)
{
    uint64_t now = clock_ns();
    int fd;
    while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        connection_accept(fd, now);
    }
}

static uint64_t armed = UINT64_MAX; /* what the timer is set to */

static void arm(const struct handler *clock)
{
    uint64_t due = timers_next();
    if (due != armed) {
        struct itimerspec when = {0};
        if (due != UINT64_MAX) {
            when.it_value.tv_sec = (time_t)(due / 1000000000u);
            when.it_value.tv_nsec = (long)(due % 1000000000u) + (due == 0);
        }
        timerfd_settime(clock->fd, TFD_TIMER_ABSTIME, &when, NULL);
        armed = due;
    }
}

static void fire(const struct handler *clock)
{
    uint64_t expirations;
    struct timer *timer;
    if (read(clock->fd, &expirations, sizeof expirations) < 0 && errno != EAGAIN) {
        fail("cannot read", "timer");
    }
    armed = UINT64_MAX;
    uint64_t now = clock_ns();
    while ((timer = timers_due(now))) {
        connection_timer(timer);
    }
}

static void handle(struct epoll_event *event)
{
    struct handler *handler = event->data.ptr;
    switch (handler->source) {
    case SOURCE_LISTENER:
        accept_all(handler);
        break;
    case SOURCE_CONTROL_LISTENER:
        control_accept(handler);
        break;
    case SOURCE_CONTROL:
        control_read(handler);
        break;
    case SOURCE_TIMER:
        fire(handler);
        break;
    case SOURCE_SIDE:
        connection_event(handler, event->events);
        break;
    }
}

static void run(const struct handler *clock)
{
    struct epoll_event events[256];
    for (;;) {
        arm(clock);
        int count = epoll_wait(poll_fd, events, 256, -1);
        if (count < 0 && errno != EINTR) {
            fail("epoll", "loop");
        }
        for (int i = 0; i < count; i++) {
            handle(&events[i]);
        }
        connections_sweep();
    }
}

static int usage(void)
{
    fputs("usage: fault_proxy --listen 127.0.0.1:0 --to HOST:PORT [--control SOCKET]\n"
          "           [--latency-ms N] [--setup-ms N] [--bandwidth BYTES] [--ignore-conditionals]\n"
          "           [--secret AWS-SECRET-KEY]\n"
          "       fault_proxy --send SOCKET COMMAND\n",
          stderr);
    return 2;
}

struct options {
    const char *listen, *to, *control;
};

static bool parse_option(const char *name, const char *value, struct options *options)
{
    const struct {
        const char *name;
        const char **out;
    } texts[] = {{"--listen", &options->listen},
                 {"--to", &options->to},
                 {"--control", &options->control},
                 {"--secret", &settings.secret}};
    const struct {
        const char *name;
        uint64_t *out;
    } numbers[] = {{"--latency-ms", &settings.latency_ms},
                   {"--setup-ms", &settings.setup_ms},
                   {"--bandwidth", &settings.bandwidth}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(name, texts[i].name) == 0) {
            *texts[i].out = value;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *numbers[i].out = strtoull(value, NULL, 10);
            return true;
        }
    }
    return false;
}

static bool parse_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--ignore-conditionals") == 0) {
            settings.ignore_conditionals = true;
        } else if (i + 1 == argc || !parse_option(argv[i], argv[i + 1], options)) {
            return false;
        } else {
            i++;
        }
    }
    return options->to != NULL;
}

/* Thousands of connections need two descriptors each. */
static void raise_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

int main(int argc, char **argv)
{
    static struct handler listener = {.source = SOURCE_LISTENER};
    static struct handler control = {.source = SOURCE_CONTROL_LISTENER};
    static struct handler clock = {.source = SOURCE_TIMER};
    struct options options = {.listen = "127.0.0.1:0"};
    if (argc == 4 && strcmp(argv[1], "--send") == 0) {
        return control_send(argv[2], argv[3]);
    }
    if (!parse_options(argc, argv, &options)) {
        return usage();
    }
    signal(SIGPIPE, SIG_IGN);
    raise_limit();
    parse_address(options.to, &server, &server_size);
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    clock.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    prctl(PR_SET_TIMERSLACK, 1UL);
    stats_reset(clock_ns());
    if (options.control && !control_listen(options.control, &control)) {
        fail("cannot listen", options.control);
    }
    listen_on(options.listen, &listener);
    watch(&listener);
    watch(&clock);
    if (options.control) {
        watch(&control);
    }
    run(&clock);
    return 0;
}
