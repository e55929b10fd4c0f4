/*
 * http_socket.c - the sockets of a client: libcurl's event interface (curl_multi_socket_action) on
 * epoll, so that an event costs the same whether ten or a thousand exchanges are under way.
 *
 * A socket stays in epoll between two exchanges of its connection: curl asks to forget it and to
 * watch it again each time, which would be two system calls a request. An event that nobody wants
 * (the server closed an idle connection) removes it; curl notices when it wants to reuse it.
 */
#include "http/http_internal.h"

#include "base/memory.h"
#include "base/timestamp.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* Flags of one descriptor. */
#define WANT_IN        1u
#define WANT_OUT       2u
#define WANT           (WANT_IN | WANT_OUT)
#define REGISTERED_BIT 2u /* the same two, as epoll has them, shifted by so much */
#define OURS           16u

#define EVENTS_AT_ONCE 64

static uint8_t *flags_of(struct sfi_http_loop *loop, int fd)
{
    size_t index = (size_t)fd;
    if (fd < 0 || index >= atomic_load_explicit(&loop->socket_count, memory_order_relaxed)) {
        return NULL;
    }
    return atomic_load_explicit(&loop->sockets, memory_order_relaxed) + index;
}

/* A child forked at any moment must find a table at least as long as the count it reads. */
static bool grow(struct sfi_http_loop *loop, size_t need)
{
    size_t count = atomic_load_explicit(&loop->socket_count, memory_order_relaxed);
    uint8_t *old = atomic_load_explicit(&loop->sockets, memory_order_relaxed);
    if (need <= count) {
        return true;
    }
    size_t size = need < 64 ? 64 : need * 2;
    uint8_t *table = sfi_calloc(size, 1);
    if (!table) {
        return false;
    }
    if (count > 0) {
        memcpy(table, old, count);
    }
    atomic_store_explicit(&loop->sockets, table, memory_order_release);
    atomic_store_explicit(&loop->socket_count, size, memory_order_release);
    sfi_free(old);
    return true;
}

static curl_socket_t on_open(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct sfi_http_loop *loop = arg;
    (void)purpose;
    /* Close-on-exec: programs started elsewhere in the process must not keep connections open. */
    int fd = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (fd < 0) {
        return CURL_SOCKET_BAD;
    }
    if (!grow(loop, (size_t)fd + 1)) {
        close(fd);
        return CURL_SOCKET_BAD;
    }
    *flags_of(loop, fd) = OURS;
    return fd;
}

static int on_close(void *arg, curl_socket_t fd)
{
    uint8_t *flags = flags_of(arg, fd);
    if (flags) {
        *flags = 0; /* first, so that a forked child never closes somebody else's descriptor */
    }
    return close(fd);
}

static uint32_t events_of(unsigned want)
{
    return (want & WANT_IN ? (uint32_t)EPOLLIN : 0u) | (want & WANT_OUT ? (uint32_t)EPOLLOUT : 0u);
}

/* Of curl's own pipes (name resolution), which it closes without telling. */
static void watch_foreign(struct sfi_http_loop *loop, int fd, unsigned want)
{
    struct epoll_event event = {.events = events_of(want), .data.fd = fd};
    if (want == 0) {
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, &event);
    } else if (epoll_ctl(loop->epoll, EPOLL_CTL_MOD, fd, &event) != 0) {
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct sfi_http_loop *loop = arg;
    unsigned want = what == CURL_POLL_IN      ? WANT_IN
                    : what == CURL_POLL_OUT   ? WANT_OUT
                    : what == CURL_POLL_INOUT ? WANT
                                              : 0u;
    uint8_t *flags = flags_of(loop, fd);
    (void)easy;
    (void)unused;
    if (!flags || !(*flags & OURS)) {
        watch_foreign(loop, fd, want);
        return 0;
    }
    unsigned registered = ((unsigned)*flags >> REGISTERED_BIT) & WANT;
    if (want != 0 && want != registered) {
        struct epoll_event event = {.events = events_of(want), .data.fd = fd};
        int operation = registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
        if (epoll_ctl(loop->epoll, operation, fd, &event) == 0) {
            registered = want;
        } /* else the exchange ends by its stall time-out */
    }
    *flags = (uint8_t)(OURS | registered << REGISTERED_BIT | want);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct sfi_http_loop *loop = arg;
    (void)multi;
    loop->curl_due_us = timeout_ms < 0    ? UINT64_MAX
                        : timeout_ms == 0 ? 0
                                          : sfi_monotonic_us() + (uint64_t)timeout_ms * 1000;
    return 0;
}

shardy_status sfi_http_socket_init(struct sfi_http_loop *loop, shardy_error *err)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    event.data.fd = loop->wake;
    if (loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &event) != 0) {
        return sfi_fail_errno(err, SHARDY_NO_MEMORY, errno, "cannot watch connections");
    }
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    return SHARDY_OK;
}

void sfi_http_socket_setup(struct sfi_http_loop *loop, CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, loop);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(easy, CURLOPT_CLOSESOCKETDATA, loop);
}

static void on_event(struct sfi_http_loop *loop, const struct epoll_event *event)
{
    int fd = event->data.fd;
    uint8_t *flags = flags_of(loop, fd);
    unsigned want = WANT;
    int running;
    if (flags && *flags & OURS) {
        want = *flags & WANT;
        if (want == 0) {
            epoll_ctl(loop->epoll, EPOLL_CTL_DEL, fd, NULL);
            *flags = OURS;
            return;
        }
    }
    unsigned ready = (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR) ? WANT_IN : 0u) |
                     (event->events & (EPOLLOUT | EPOLLHUP | EPOLLERR) ? WANT_OUT : 0u);
    if (ready & want) {
        int mask = (ready & want & WANT_IN ? CURL_CSELECT_IN : 0) |
                   (ready & want & WANT_OUT ? CURL_CSELECT_OUT : 0);
        curl_multi_socket_action(loop->multi, fd, mask, &running);
    }
}

void sfi_http_socket_wait(struct sfi_http_loop *loop, int timeout_ms)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, timeout_ms);
    loop->now_us = sfi_monotonic_us();
    for (int i = 0; i < count; i++) {
        if (events[i].data.fd != loop->wake) {
            on_event(loop, &events[i]);
        }
    }
}

void sfi_http_loop_abandon(struct sfi_http_loop *loop)
{
    size_t count = atomic_load_explicit(&loop->socket_count, memory_order_acquire);
    uint8_t *table = atomic_load_explicit(&loop->sockets, memory_order_acquire);
    for (size_t fd = 0; fd < count; fd++) {
        if (table[fd] & OURS) {
            close((int)fd); /* the parent has it too: nothing is sent */
        }
    }
    close(loop->epoll);
    close(loop->wake);
}
