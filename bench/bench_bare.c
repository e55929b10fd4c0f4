/*
 * bench_bare.c - the peer of transfers: libcurl's multi interface driven by its socket callbacks on
 * epoll, as libcurl's documentation advises for many handles. One easy handle a connection; each
 * takes the next request as soon as it is free.
 */
#include "bench_bare.h"

#include "aws/sigv4.h"

#include "s3_server.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LANES_MAX     256
#define EVENTS_MAX    64
#define DOWNLOAD_STEP (256L * 1024)
#define UPLOAD_STEP   (1024L * 1024)

struct lane {
    CURL *easy;
    struct curl_slist *headers;
    struct bare_request request;
    size_t uploaded;
    size_t text_size;
    char url[BENCH_PATH_MAX + 64];
    char detail[CURL_ERROR_SIZE];
};

struct bare {
    CURLM *multi;
    int epoll;
    long timeout_ms;
    char url[64];
    char date[SFI_AMZ_DATE_SIZE];
    unsigned lanes_count;
    struct lane lanes[LANES_MAX];
    struct lane *idle[LANES_MAX];
    unsigned idle_count;
};

/* ---- curl's callbacks ------------------------------------------------------------------------ */

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct lane *lane = arg;
    struct bare_request *request = &lane->request;
    size_t bytes = size * count;

    if (request->fd >= 0) {
        for (size_t done = 0; done < bytes;) {
            ssize_t n = pwrite(request->fd, data + done, bytes - done,
                               (off_t)(request->offset + request->received + done));
            if (n < 0) {
                bench_die("pwrite: %s", strerror(errno));
            }
            done += (size_t)n;
        }
    } else {
        size_t room = sizeof request->text - 1 - lane->text_size;
        size_t taken = bytes < room ? bytes : room;

        memcpy(request->text + lane->text_size, data, taken);
        lane->text_size += taken;
        request->text[lane->text_size] = '\0';
    }
    request->received += bytes;
    return bytes;
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct lane *lane = arg;

    if (size * count > 6 && strncasecmp(line, "etag:", 5) == 0) {
        size_t start = 5 + strspn(line + 5, " ");

        (void)snprintf(lane->request.etag, sizeof lane->request.etag, "%.*s",
                       (int)strcspn(line + start, "\r\n"), line + start);
    }
    return size * count;
}

static size_t on_upload(char *out, size_t size, size_t count, void *arg)
{
    struct lane *lane = arg;
    size_t left = lane->request.body_size - lane->uploaded;
    size_t bytes = size * count < left ? size * count : left;

    memcpy(out, (const char *)lane->request.body + lane->uploaded, bytes);
    lane->uploaded += bytes;
    return bytes;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    static char mark;
    struct bare *bare = arg;
    struct epoll_event event = {.data.fd = fd};

    (void)easy;
    event.events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0u) |
                   (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0u);
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(bare->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    if (epoll_ctl(bare->epoll, known != NULL ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0) {
        bench_die("epoll_ctl: %s", strerror(errno));
    }
    (void)curl_multi_assign(bare->multi, fd, &mark);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    (void)multi;
    ((struct bare *)arg)->timeout_ms = timeout_ms;
    return 0;
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void lane_init(struct lane *lane)
{
    CURL *easy = lane->easy = curl_easy_init();

    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, lane->detail);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, lane);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, lane);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, lane);
    (void)curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_upload);
    (void)curl_easy_setopt(easy, CURLOPT_READDATA, lane);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_STEP);
}

static void set_signature(const struct bare *bare, struct lane *lane)
{
    char line[1024];

    lane->headers = curl_slist_append(NULL, "x-amz-content-sha256: " SFI_UNSIGNED_PAYLOAD);
    if (lane->request.authorization != NULL) {
        (void)snprintf(line, sizeof line, "x-amz-date: %s", bare->date);
        lane->headers = curl_slist_append(lane->headers, line);
        (void)snprintf(line, sizeof line, "Authorization: %s", lane->request.authorization);
        lane->headers = curl_slist_append(lane->headers, line);
        (void)curl_easy_setopt(lane->easy, CURLOPT_AWS_SIGV4, NULL);
        (void)curl_easy_setopt(lane->easy, CURLOPT_USERPWD, NULL);
    } else {
        (void)curl_easy_setopt(lane->easy, CURLOPT_AWS_SIGV4, "aws:amz:" S3_SERVER_REGION ":s3");
        (void)curl_easy_setopt(lane->easy, CURLOPT_USERPWD,
                               S3_SERVER_ACCESS_KEY ":" S3_SERVER_SECRET_KEY);
    }
}

static void lane_start(struct bare *bare, struct lane *lane)
{
    struct bare_request *request = &lane->request;
    CURL *easy = lane->easy;
    char range[64];
    bool get = strcmp(request->method, "GET") == 0;

    set_signature(bare, lane);
    if (!get) {
        lane->headers = curl_slist_append(lane->headers, "Expect:");
    }
    (void)snprintf(lane->url, sizeof lane->url, "%s%s", bare->url, request->target);
    (void)snprintf(range, sizeof range, "%llu-%llu", (unsigned long long)request->offset,
                   (unsigned long long)(request->offset + request->size - 1));
    (void)curl_easy_setopt(easy, CURLOPT_URL, lane->url);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lane->headers);
    (void)curl_easy_setopt(easy, CURLOPT_RANGE, get && request->size > 0 ? range : NULL);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE,
                           request->size > 0 && request->size < 16384 ? 16384L : DOWNLOAD_STEP);
    if (get) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
        (void)curl_easy_setopt(easy, CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body_size);
    }
    lane->uploaded = 0;
    lane->text_size = 0;
    if (curl_multi_add_handle(bare->multi, easy) != CURLM_OK) {
        bench_die("curl_multi_add_handle failed");
    }
}

static void lane_end(struct bare *bare, struct lane *lane, CURLcode code,
                     const struct bare_work *work)
{
    long status = 0;

    (void)curl_easy_getinfo(lane->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK || status < 200 || status > 299) {
        bench_die("bare %s %s: %s, %ld %s", lane->request.method, lane->request.target,
                  lane->detail, status, lane->request.text);
    }
    (void)curl_multi_remove_handle(bare->multi, lane->easy);
    curl_slist_free_all(lane->headers);
    lane->headers = NULL;
    bare->idle[bare->idle_count++] = lane;
    work->ended(work->arg, &lane->request);
}

/* ---- the loop -------------------------------------------------------------------------------- */

struct bare *bare_new(const char *url, unsigned connections)
{
    struct bare *bare = bench_alloc(1, sizeof *bare);

    if (connections > LANES_MAX || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        bench_die("%u connections", connections);
    }
    (void)snprintf(bare->url, sizeof bare->url, "%s", url);
    sfi_amz_date((int64_t)time(NULL), bare->date);
    bare->multi = curl_multi_init();
    bare->epoll = epoll_create1(EPOLL_CLOEXEC);
    bare->timeout_ms = -1;
    (void)curl_multi_setopt(bare->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(bare->multi, CURLMOPT_SOCKETDATA, bare);
    (void)curl_multi_setopt(bare->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(bare->multi, CURLMOPT_TIMERDATA, bare);
    (void)curl_multi_setopt(bare->multi, CURLMOPT_MAXCONNECTS, (long)connections);
    bare->lanes_count = connections;
    for (unsigned i = 0; i < connections; i++) {
        lane_init(&bare->lanes[i]);
        bare->idle[bare->idle_count++] = &bare->lanes[i];
    }
    return bare;
}

void bare_free(struct bare *bare)
{
    for (unsigned i = 0; i < bare->lanes_count; i++) {
        curl_easy_cleanup(bare->lanes[i].easy);
    }
    (void)curl_multi_cleanup(bare->multi);
    (void)close(bare->epoll);
    free(bare);
}

static void feed(struct bare *bare, const struct bare_work *work)
{
    while (bare->idle_count > 0) {
        struct lane *lane = bare->idle[bare->idle_count - 1];

        memset(&lane->request, 0, sizeof lane->request);
        lane->request.fd = -1;
        if (!work->next(work->arg, &lane->request)) {
            return;
        }
        bare->idle_count--;
        lane_start(bare, lane);
    }
}

static void collect(struct bare *bare, const struct bare_work *work)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(bare->multi, &left)) != NULL) {
        char *lane = NULL;

        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &lane);
        lane_end(bare, (struct lane *)(void *)lane, message->data.result, work);
    }
}

void bare_run(struct bare *bare, const struct bare_work *work)
{
    struct epoll_event events[EVENTS_MAX];
    int running;

    for (feed(bare, work); bare->idle_count < bare->lanes_count; feed(bare, work)) {
        int count = bare->timeout_ms == 0
                        ? 0
                        : epoll_wait(bare->epoll, events, EVENTS_MAX, (int)bare->timeout_ms);

        if (count <= 0) {
            bare->timeout_ms = -1;
            (void)curl_multi_socket_action(bare->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        }
        for (int i = 0; i < count; i++) {
            uint32_t what = events[i].events;
            int mask = (what & EPOLLIN ? CURL_CSELECT_IN : 0) |
                       (what & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                       (what & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);

            (void)curl_multi_socket_action(bare->multi, events[i].data.fd, mask, &running);
        }
        collect(bare, work);
    }
}

char *bare_sign(struct bare *bare, const char *target)
{
    const struct sfi_sigv4_header headers[] = {{"host", bare->url + strlen("http://")},
                                               {"x-amz-content-sha256", SFI_UNSIGNED_PAYLOAD},
                                               {"x-amz-date", bare->date}};
    const struct sfi_credentials credentials = {.access_key_id = S3_SERVER_ACCESS_KEY,
                                                .secret_access_key = S3_SERVER_SECRET_KEY};
    const struct sfi_sigv4_input input = {
        .method = "GET",
        .path = target,
        .query = "",
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .payload_hash = SFI_UNSIGNED_PAYLOAD,
        .region = S3_SERVER_REGION,
        .service = "s3",
        .amz_date = bare->date,
    };
    struct sfi_buf text;
    shardy_error err = SHARDY_ERROR_INIT;

    sfi_buf_init(&text, 4096);
    bench_ok(sfi_sigv4_authorization(&input, &credentials, &text, &err), &err, "signature");
    char *copy = bench_alloc(text.size + 1, 1);
    memcpy(copy, text.data, text.size);
    sfi_buf_clear(&text);
    return copy;
}
