/*
 * http_server.h - a small HTTP/1.1 server for tests: a thread a connection, and paths that answer
 * well, badly or not at all. It counts what it sees.
 */
#ifndef TESTS_HTTP_SERVER_H
#define TESTS_HTTP_SERVER_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SERVER_PEERS 1024

struct server {
    int fd;
    unsigned port;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    bool stopping;
    bool released; /* requests for /hold are answered */
    size_t peers;
    size_t open;
    size_t open_max;
    size_t requests;
    size_t holding; /* requests waiting for `released` */
    int fds[SERVER_PEERS];
    pthread_t threads[SERVER_PEERS];
    char last_head[8192]; /* header block of the last request */
};

/* One connection and the request that is being answered. */
struct peer {
    struct server *server;
    size_t index;
    int fd;
    size_t served;
    char method[16];
    char path[1024];
    char head[8192];
    char *body;
    size_t body_size;
    char buffer[65536];
    size_t used;
};

static inline bool peer_send(struct peer *peer, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t n = send(peer->fd, at, size, MSG_NOSIGNAL);
        if (n <= 0) {
            return false;
        }
        at += n;
        size -= (size_t)n;
    }
    return true;
}

static inline bool peer_text(struct peer *peer, const char *text)
{
    return peer_send(peer, text, strlen(text));
}

static inline bool peer_answer(struct peer *peer, int status, const char *body, size_t size)
{
    char head[256];
    snprintf(head, sizeof head,
             "HTTP/1.1 %d Whatever\r\nContent-Length: %zu\r\nETag: \"abc\"\r\n\r\n", status, size);
    return peer_text(peer, head) &&
           (strcmp(peer->method, "HEAD") == 0 || peer_send(peer, body, size));
}

static inline void peer_hold(struct peer *peer)
{
    struct server *server = peer->server;
    pthread_mutex_lock(&server->lock);
    server->holding++;
    pthread_cond_broadcast(&server->changed);
    while (!server->released && !server->stopping) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    server->holding--;
    pthread_mutex_unlock(&server->lock);
}

/* Close with RST, so that the client's next read fails instead of ending. */
static inline bool peer_reset(struct peer *peer)
{
    struct linger linger = {1, 0};
    setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    return false;
}

static inline bool answer_size(struct peer *peer)
{
    size_t size = (size_t)strtoull(strrchr(peer->path, '/') + 1, NULL, 10);
    char *body = malloc(size + 1);
    for (size_t i = 0; i < size; i++) {
        body[i] = (char)('a' + i % 23);
    }
    bool kept = peer_answer(peer, strncmp(peer->path, "/error", 6) == 0 ? 503 : 200, body, size);
    free(body);
    return kept;
}

static inline bool answer_huge_head(struct peer *peer)
{
    char line[1024];
    memset(line, 'x', sizeof line);
    memcpy(line, "X-Long: ", 8);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    if (!peer_text(peer, "HTTP/1.1 200 OK\r\n")) {
        return false;
    }
    for (int i = 0; i < 80; i++) {
        if (!peer_send(peer, line, sizeof line)) {
            return false;
        }
    }
    return peer_text(peer, "Content-Length: 2\r\n\r\nok");
}

/* 400 bytes, one by one: two seconds if somebody waits for them. */
static inline bool answer_drip(struct peer *peer)
{
    bool sent = peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 400\r\n\r\n");
    for (int i = 0; sent && i < 400; i++) {
        usleep(5000);
        sent = peer_send(peer, " ", 1);
    }
    return false;
}

/* Refuse before the body has come, and take it until the client gives up. */
static inline bool answer_early(struct peer *peer)
{
    peer_text(peer, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    while (recv(peer->fd, peer->buffer, sizeof peer->buffer, 0) > 0) {
    }
    return false;
}

/* Answers that are nothing but their text; the connection is kept when `keep`. */
struct canned {
    const char *path;
    const char *text;
    bool keep;
};

static const struct canned s_canned[] = {
    {"/chunked",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
     "5\r\nhello\r\n1;ext=1\r\n \r\n5\r\nworld\r\n0\r\nX-Late: trailer\r\n\r\n",
     true},
    {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789", false},
    {"/short-chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n0123456789",
     false},
    {"/long", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and too much", false},
    {"/interim",
     "HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Final: 2\r\n\r\nok",
     true},
    {"/interim-only", "HTTP/1.1 100 Continue\r\n\r\n", false},
    {"/garbage", "this is not a protocol at all\r\n\r\n", false},
    {"/half-head", "HTTP/1.1 200 OK\r\nContent-Le", false},
    {"/until-close", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nto the end", false},
    {"/redirect", "HTTP/1.1 307 Moved\r\nLocation: /ok\r\nContent-Length: 4\r\n\r\nmove", true},
    {"/nothing", "HTTP/1.1 204 No Content\r\n\r\n", true},
    {"/unchanged", "HTTP/1.1 304 Not Modified\r\nETag: \"abc\"\r\n\r\n", true},
    {"/lie", "HTTP/1.1 200 OK\r\nContent-Length: 9000000000000000000\r\n\r\nshort", false},
    {"/two-lengths", "HTTP/1.1 200 OK\r\nContent-Length: nonsense\r\n\r\nshort", false},
    {"/headers",
     "HTTP/1.1 200 OK\r\nX-One:1\r\nx-two:   spaces  \t\r\nX-Empty:\r\nX-Folded: first\r\n"
     "  second\r\n\tthird\r\nX-One: again\r\nContent-Length: 0\r\nX-Colons: a:b: c\r\n\r\n",
     true},
};

static inline bool answer(struct peer *peer)
{
    const char *path = peer->path;
    for (size_t i = 0; i < sizeof s_canned / sizeof s_canned[0]; i++) {
        if (strcmp(path, s_canned[i].path) == 0) {
            return peer_text(peer, s_canned[i].text) && s_canned[i].keep;
        }
    }
    if (strncmp(path, "/size/", 6) == 0 || strncmp(path, "/error/", 7) == 0) {
        return answer_size(peer);
    }
    if (strcmp(path, "/echo") == 0) {
        return peer_answer(peer, 200, peer->body, peer->body_size);
    }
    if (strcmp(path, "/method") == 0) {
        return peer_answer(peer, 200, peer->method, strlen(peer->method));
    }
    if (strcmp(path, "/reset") == 0) {
        peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
        return peer_reset(peer);
    }
    if (strcmp(path, "/close") == 0) {
        return false;
    }
    if (strcmp(path, "/refuse-body") == 0) {
        return answer_early(peer);
    }
    if (strcmp(path, "/once") == 0 && peer->served > 0) {
        return false; /* a kept connection that dies under the second request */
    }
    if (strcmp(path, "/hold") == 0) {
        peer_hold(peer);
    }
    if (strcmp(path, "/stall") == 0) {
        peer_text(peer, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789");
        peer_hold(peer);
    }
    if (strcmp(path, "/drip") == 0) {
        return answer_drip(peer);
    }
    if (strcmp(path, "/huge-head") == 0) {
        return answer_huge_head(peer);
    }
    return peer_answer(peer, strcmp(path, "/missing") == 0 ? 404 : 200, "hello", 5);
}

/* More bytes of the connection behind those in the buffer. */
static inline bool peer_fill(struct peer *peer)
{
    ssize_t n = recv(peer->fd, peer->buffer + peer->used, sizeof peer->buffer - 1 - peer->used, 0);
    if (n <= 0) {
        return false;
    }
    peer->used += (size_t)n;
    peer->buffer[peer->used] = '\0';
    return true;
}

static inline bool read_body(struct peer *peer)
{
    const char *length = strcasestr(peer->head, "\r\ncontent-length:");
    peer->body_size = length ? (size_t)strtoull(length + 17, NULL, 10) : 0;
    peer->body = malloc(peer->body_size + 1);
    size_t have = peer->used < peer->body_size ? peer->used : peer->body_size;
    memcpy(peer->body, peer->buffer, have);
    memmove(peer->buffer, peer->buffer + have, peer->used - have);
    peer->used -= have;
    while (have < peer->body_size) {
        ssize_t n = recv(peer->fd, peer->body + have, peer->body_size - have, 0);
        if (n <= 0) {
            return false;
        }
        have += (size_t)n;
    }
    return true;
}

static inline bool read_request(struct peer *peer)
{
    char *end;
    peer->buffer[peer->used] = '\0';
    while (!(end = strstr(peer->buffer, "\r\n\r\n"))) {
        if (!peer_fill(peer)) {
            return false;
        }
        if (peer->buffer[0] == 0x16) { /* a TLS handshake */
            peer_text(peer, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            return false;
        }
    }
    size_t size = (size_t)(end - peer->buffer) + 4;
    snprintf(peer->head, sizeof peer->head, "%.*s", (int)size, peer->buffer);
    memmove(peer->buffer, peer->buffer + size, peer->used - size);
    peer->used -= size;
    if (sscanf(peer->head, "%15s %1023s", peer->method, peer->path) != 2) {
        return false;
    }
    pthread_mutex_lock(&peer->server->lock);
    peer->server->requests++;
    memcpy(peer->server->last_head, peer->head, sizeof peer->head);
    pthread_mutex_unlock(&peer->server->lock);
    if (strcmp(peer->path, "/refuse-body") == 0) {
        peer->body = NULL;
        return true;
    }
    return read_body(peer);
}

static inline void *serve_peer(void *arg)
{
    struct peer *peer = arg;
    struct server *server = peer->server;
    bool kept = true;
    while (kept && read_request(peer)) {
        kept = answer(peer);
        peer->served++;
        free(peer->body);
        peer->body = NULL;
    }
    free(peer->body);
    pthread_mutex_lock(&server->lock);
    server->fds[peer->index] = -1;
    server->open--;
    close(peer->fd);
    pthread_mutex_unlock(&server->lock);
    free(peer);
    return NULL;
}

static inline void *serve(void *arg)
{
    struct server *server = arg;
    for (;;) {
        int fd = accept(server->fd, NULL, NULL);
        pthread_mutex_lock(&server->lock);
        if (fd < 0 || server->stopping || server->peers == SERVER_PEERS) {
            pthread_mutex_unlock(&server->lock);
            if (fd >= 0) {
                close(fd);
            }
            return NULL;
        }
        struct peer *peer = calloc(1, sizeof *peer);
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* a body follows its head */
        peer->server = server;
        peer->fd = fd;
        peer->index = server->peers++;
        server->fds[peer->index] = fd;
        server->open++;
        if (server->open > server->open_max) {
            server->open_max = server->open;
        }
        pthread_create(&server->threads[peer->index], NULL, serve_peer, peer);
        pthread_mutex_unlock(&server->lock);
    }
}

/* A listening socket on a port that the kernel chooses; -1 when there is no such family. */
static inline int listen_somewhere(int family, unsigned *port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sockaddr *address = family == AF_INET6 ? (void *)&v6 : (void *)&v4;
    socklen_t size = family == AF_INET6 ? sizeof v6 : sizeof v4;
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, address, size) != 0 || listen(fd, 256) != 0 ||
        getsockname(fd, address, &size) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    *port = ntohs(family == AF_INET6 ? v6.sin6_port : v4.sin_port);
    return fd;
}

static inline bool server_start_at(struct server *server, int family)
{
    memset(server, 0, sizeof *server);
    pthread_mutex_init(&server->lock, NULL);
    pthread_cond_init(&server->changed, NULL);
    server->fd = listen_somewhere(family, &server->port);
    return server->fd >= 0 && pthread_create(&server->thread, NULL, serve, server) == 0;
}

static inline struct server *server_start(void)
{
    struct server *server = malloc(sizeof *server);
    if (!server_start_at(server, AF_INET)) {
        perror("test server");
        abort();
    }
    return server;
}

static inline void server_release(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->released = true;
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

static inline void server_wait_holding(struct server *server, size_t count)
{
    pthread_mutex_lock(&server->lock);
    while (server->holding < count) {
        pthread_cond_wait(&server->changed, &server->lock);
    }
    pthread_mutex_unlock(&server->lock);
}

static inline size_t server_count(struct server *server, const size_t *counter)
{
    pthread_mutex_lock(&server->lock);
    size_t value = *counter;
    pthread_mutex_unlock(&server->lock);
    return value;
}

static inline void server_stop(struct server *server)
{
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    shutdown(server->fd, SHUT_RDWR);
    for (size_t i = 0; i < server->peers; i++) {
        if (server->fds[i] >= 0) {
            shutdown(server->fds[i], SHUT_RDWR);
        }
    }
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->peers; i++) {
        pthread_join(server->threads[i], NULL);
    }
    close(server->fd);
    pthread_mutex_destroy(&server->lock);
    pthread_cond_destroy(&server->changed);
    free(server);
}

static inline const char *server_url(const struct server *server, const char *path)
{
    static _Thread_local char urls[4][256];
    static _Thread_local unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, 256, "http://127.0.0.1:%u%s", server->port, path);
    return url;
}

#endif
