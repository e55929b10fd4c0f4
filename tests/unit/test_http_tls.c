/*
 * test_http_tls.c - whom a client believes: certificates made here, served by OpenSSL in a thread.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "http/http.h"
#include "http_server.h"
#include "store_sample.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>

#define DAY 86400L

/* How the server ends an answer. */
enum manner { KEEP, CLOSE, CUT /* in mid-body, without a closure alert */ };

struct tls_server {
    int fd;
    unsigned port;
    SSL_CTX *context;
    pthread_t thread;
    atomic_uint requests;
    atomic_uint resumed; /* handshakes that took up an earlier session */
    enum manner manner;
};

struct fixture {
    char folder[256];
    char url[256];
    char ca_file[300];
    char other_ca_file[300];
    char twin_ca_file[300]; /* an authority of the same name with another key */
    EVP_PKEY *ca_key;
    X509 *ca;
};

static EVP_PKEY *new_key(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    assert_non_null(key);
    return key;
}

static void extend(X509 *certificate, X509 *issuer, int kind, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, kind, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(certificate, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Self-signed when `issuer` is NULL. `names` is a subjectAltName, or NULL for an authority. */
static X509 *new_certificate(const char *subject, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key,
                             const char *names, long from, long to)
{
    static long serial = 1;
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(certificate), to);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)subject, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
    X509_set_pubkey(certificate, key);
    if (names) {
        extend(certificate, issuer ? issuer : certificate, NID_subject_alt_name, names);
    } else {
        extend(certificate, certificate, NID_basic_constraints, "critical,CA:TRUE");
    }
    assert_true(X509_sign(certificate, issuer_key ? issuer_key : key, EVP_sha256()) > 0);
    return certificate;
}

static void write_certificate(X509 *certificate, const char *path)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(PEM_write_X509(file, certificate), 1);
    fclose(file);
}

static void serve_requests(struct tls_server *server, SSL *ssl)
{
    static const char whole[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    static const char part[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
    char buffer[4096];
    int used = 0;
    int n;
    while ((n = SSL_read(ssl, buffer + used, (int)sizeof buffer - 1 - used)) > 0) {
        used += n;
        buffer[used] = '\0';
        if (!strstr(buffer, "\r\n\r\n")) {
            continue;
        }
        used = 0;
        atomic_fetch_add(&server->requests, 1);
        if (server->manner == CUT) {
            SSL_write(ssl, part, (int)sizeof part - 1);
            return;
        }
        SSL_write(ssl, whole, (int)sizeof whole - 1);
        if (server->manner == CLOSE) {
            break;
        }
    }
    SSL_shutdown(ssl);
}

/* One connection after the other. */
static void *serve_tls(void *arg)
{
    struct tls_server *server = arg;
    int fd;
    while ((fd = accept(server->fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(server->context);
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1) {
            atomic_fetch_add(&server->resumed, SSL_session_reused(ssl) ? 1 : 0);
            serve_requests(server, ssl);
        }
        SSL_free(ssl);
        close(fd);
    }
    ERR_clear_error();
    return NULL;
}

static void tls_start(struct tls_server *server, X509 *certificate, EVP_PKEY *key,
                      enum manner manner)
{
    memset(server, 0, sizeof *server);
    server->manner = manner;
    server->context = SSL_CTX_new(TLS_server_method());
    SSL_CTX_use_certificate(server->context, certificate);
    SSL_CTX_use_PrivateKey(server->context, key);
    server->fd = listen_somewhere(AF_INET, &server->port);
    assert_true(server->fd >= 0);
    assert_int_equal(pthread_create(&server->thread, NULL, serve_tls, server), 0);
}

/* Clients are gone by now, so the thread waits for the next connection or is about to. */
static void tls_stop(struct tls_server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    SSL_CTX_free(server->context);
}

/* An authority, its certificate written to a file of the folder. */
static void new_authority(const struct fixture *fixture, const char *name, const char *file,
                          char path[300], EVP_PKEY **key, X509 **certificate)
{
    *key = new_key();
    *certificate = new_certificate(name, *key, NULL, NULL, NULL, -2 * DAY, DAY);
    snprintf(path, 300, "%s/%s", fixture->folder, file);
    write_certificate(*certificate, path);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    EVP_PKEY *keys[2];
    X509 *others[2];
    signal(SIGPIPE, SIG_IGN); /* for the server's threads */
    make_folder(fixture->folder, fixture->url);
    new_authority(fixture, "authority", "ca.pem", fixture->ca_file, &fixture->ca_key, &fixture->ca);
    new_authority(fixture, "other", "other.pem", fixture->other_ca_file, &keys[0], &others[0]);
    new_authority(fixture, "authority", "twin.pem", fixture->twin_ca_file, &keys[1], &others[1]);
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        X509_free(others[i]);
        EVP_PKEY_free(keys[i]);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    X509_free(fixture->ca);
    EVP_PKEY_free(fixture->ca_key);
    remove_folder(fixture->folder);
    free(fixture);
    return 0;
}

static struct sfi_http_request ask(const struct sfi_http_options *options,
                                   const struct tls_server *server, const char *host)
{
    struct sfi_http_client *client = NULL;
    struct sfi_http_request request = {.method = "GET"};
    char url[128];
    snprintf(url, sizeof url, "https://%s:%u/x?secret=1", host, server->port);
    request.url = url;
    assert_int_equal(sfi_http_client_new(options, &client, NULL), SHARDY_OK);
    sfi_http_perform(client, &request);
    sfi_http_client_free(client);
    request.url = NULL;
    return request;
}

enum trust { SYSTEM, OURS, OTHER, TWIN, ANY };

static void certificates(void **state)
{
    static const struct {
        const char *names;
        long from;
        long to;
        bool self_signed;
        enum trust trust;
        enum sfi_http_outcome outcome;
    } cases[] = {
        {"IP:127.0.0.1", -DAY, DAY, false, OURS, SFI_HTTP_ANSWERED},
        {"IP:127.0.0.1", -DAY, DAY, false, SYSTEM, SFI_HTTP_REFUSED},
        {"IP:127.0.0.1", -DAY, DAY, false, OTHER, SFI_HTTP_REFUSED},
        {"IP:127.0.0.1", -DAY, DAY, false, TWIN, SFI_HTTP_REFUSED},
        {"IP:127.0.0.1", -DAY, DAY, false, ANY, SFI_HTTP_ANSWERED},
        {"IP:127.0.0.1", -DAY, DAY, true, OURS, SFI_HTTP_REFUSED},
        {"IP:127.0.0.1", -DAY, DAY, true, SYSTEM, SFI_HTTP_REFUSED},
        {"IP:127.0.0.1", -DAY, DAY, true, ANY, SFI_HTTP_ANSWERED},
        {"IP:127.0.0.2", -DAY, DAY, false, OURS, SFI_HTTP_REFUSED},
        {"DNS:bucket.example.org", -DAY, DAY, false, OURS, SFI_HTTP_REFUSED},
        {"DNS:bucket.example.org", -DAY, DAY, false, ANY, SFI_HTTP_ANSWERED},
        {"IP:127.0.0.1", -2 * DAY, -DAY, false, OURS, SFI_HTTP_REFUSED},
        {"IP:127.0.0.1", DAY, 2 * DAY, false, OURS, SFI_HTTP_REFUSED},
    };
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_server server;
        struct sfi_http_options options = {.no_proxy = true};
        EVP_PKEY *key = new_key();
        bool self = cases[i].self_signed;
        X509 *certificate =
            new_certificate("server", key, self ? NULL : fixture->ca, self ? NULL : fixture->ca_key,
                            cases[i].names, cases[i].from, cases[i].to);
        options.insecure_tls = cases[i].trust == ANY;
        options.ca_file = cases[i].trust == OURS    ? fixture->ca_file
                          : cases[i].trust == OTHER ? fixture->other_ca_file
                          : cases[i].trust == TWIN  ? fixture->twin_ca_file
                                                    : NULL;
        tls_start(&server, certificate, key, KEEP);
        struct sfi_http_request request = ask(&options, &server, "127.0.0.1");
        tls_stop(&server);
        bool answered = cases[i].outcome == SFI_HTTP_ANSWERED;
        print_message("# %zu: %s\n", i, request.error.message);
        assert_int_equal(request.outcome, cases[i].outcome);
        assert_int_equal(request.error.status, answered ? SHARDY_OK : SHARDY_CONFIG);
        assert_int_equal(server.requests, answered ? 1 : 0);
        assert_null(strstr(request.error.message, "secret"));
        sfi_http_request_clear(&request);
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
}

/* A self-signed certificate that is given as the authority is what small installations have. */
static void self_signed_and_given(void **state)
{
    struct fixture *fixture = *state;
    struct tls_server server;
    struct sfi_http_options options = {.no_proxy = true};
    char path[320];
    EVP_PKEY *key = new_key();
    X509 *certificate = new_certificate("server", key, NULL, NULL, "IP:127.0.0.1", -DAY, DAY);
    snprintf(path, sizeof path, "%s/self.pem", fixture->folder);
    write_certificate(certificate, path);
    options.ca_file = path;
    tls_start(&server, certificate, key, KEEP);
    struct sfi_http_request request = ask(&options, &server, "127.0.0.1");
    tls_stop(&server);
    assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
    assert_int_equal(request.data.size, 5);
    assert_true(request.connect_us > 0);
    sfi_http_request_clear(&request);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

/* Not PEM: noticed when it is first needed, and nothing is sent. */
static void a_ca_file_that_is_none(void **state)
{
    struct fixture *fixture = *state;
    struct tls_server server;
    struct sfi_http_options options = {.no_proxy = true};
    char path[320];
    snprintf(path, sizeof path, "%s/nonsense.pem", fixture->folder);
    FILE *file = fopen(path, "w");
    fputs("nonsense\n", file);
    fclose(file);
    options.ca_file = path;
    tls_start(&server, fixture->ca, fixture->ca_key, KEEP);
    struct sfi_http_request request = ask(&options, &server, "127.0.0.1");
    tls_stop(&server);
    assert_int_equal(request.outcome, SFI_HTTP_REFUSED);
    assert_int_equal(server.requests, 0);
    sfi_http_request_clear(&request);
}

/* Somebody else's FIN does not end a body. */
static void cut_without_closure(void **state)
{
    struct fixture *fixture = *state;
    struct tls_server server;
    struct sfi_http_options options = {.no_proxy = true, .insecure_tls = true};
    tls_start(&server, fixture->ca, fixture->ca_key, CUT);
    struct sfi_http_request request = ask(&options, &server, "127.0.0.1");
    tls_stop(&server);
    assert_int_equal(request.outcome, SFI_HTTP_LOST);
    assert_int_equal(request.data.size, 3);
    sfi_http_request_clear(&request);
}

/* New connections of one client take up its TLS session; a kept one needs no handshake. */
static void sessions_and_connections(void **state)
{
    static const struct {
        enum manner manner;
        unsigned resumed;
    } cases[] = {{KEEP, 0}, {CLOSE, 4}};
    struct fixture *fixture = *state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct tls_server server;
        struct sfi_http_options options = {.no_proxy = true, .insecure_tls = true};
        struct sfi_http_client *client = NULL;
        char url[128];
        tls_start(&server, fixture->ca, fixture->ca_key, cases[i].manner);
        snprintf(url, sizeof url, "https://127.0.0.1:%u/x", server.port);
        assert_int_equal(sfi_http_client_new(&options, &client, NULL), SHARDY_OK);
        for (int n = 0; n < 5; n++) {
            struct sfi_http_request request = {.method = "GET", .url = url};
            sfi_http_perform(client, &request);
            assert_int_equal(request.outcome, SFI_HTTP_ANSWERED);
            assert_int_equal(request.connect_us > 0, n == 0 || cases[i].manner == CLOSE);
            sfi_http_request_clear(&request);
        }
        sfi_http_client_free(client);
        tls_stop(&server);
        assert_int_equal(server.requests, 5);
        assert_int_equal(server.resumed, cases[i].resumed);
    }
}

static void plain_text_server(void **state)
{
    struct sfi_http_options options = {.no_proxy = true};
    struct server *plain = server_start();
    struct tls_server address = {.port = plain->port};
    (void)state;
    struct sfi_http_request request = ask(&options, &address, "127.0.0.1");
    assert_int_equal(request.outcome, SFI_HTTP_NOT_SENT);
    sfi_http_request_clear(&request);
    server_stop(plain);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates),           cmocka_unit_test(self_signed_and_given),
        cmocka_unit_test(a_ca_file_that_is_none), cmocka_unit_test(cut_without_closure),
        cmocka_unit_test(plain_text_server),      cmocka_unit_test(sessions_and_connections),
    };
    return cmocka_run_group_tests_name("http_tls", tests, set_up, tear_down);
}
