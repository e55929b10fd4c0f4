/*
 * proxy_client.c - the other end of the proxy's control socket. The proxy dies with its parent, so
 * that a test that crashes leaves nothing behind.
 */
#include "proxy_client.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARG_COUNT 16

struct proxy {
    pid_t pid;
    int control;
    char folder[64];
    char socket[80];
    char address[64];
    char url[80];
    char *answer;
    size_t answer_size;
};

static void give_up(const char *what, const char *object)
{
    fprintf(stderr, "proxy_client: %s: %s (%s)\n", object, what, strerror(errno));
    abort();
}

bool proxy_available(void)
{
    const char *program = getenv("SHARDY_FAULT_PROXY");
    return program && access(program, X_OK) == 0;
}

static void start_program(struct proxy *proxy, char *const args[], int output[2])
{
    pid_t parent = getpid();
    proxy->pid = fork();
    if (proxy->pid < 0) {
        give_up("cannot fork", args[0]);
    }
    if (proxy->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(output[1], 1);
        if (getppid() == parent) {
            execv(args[0], args);
        }
        _exit(127);
    }
    close(output[1]);
}

static void read_address(struct proxy *proxy, int fd)
{
    size_t used = 0;
    while (used + 1 < sizeof proxy->address && !memchr(proxy->address, '\n', used)) {
        ssize_t count = read(fd, proxy->address + used, sizeof proxy->address - 1 - used);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            give_up("the proxy did not start", "$SHARDY_FAULT_PROXY");
        }
        used += (size_t)count;
    }
    proxy->address[strcspn(proxy->address, "\n")] = '\0';
    snprintf(proxy->url, sizeof proxy->url, "http://%s", proxy->address);
}

static void connect_control(struct proxy *proxy)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", proxy->socket);
    proxy->control = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (proxy->control < 0 ||
        connect(proxy->control, (struct sockaddr *)&address, sizeof address) != 0) {
        give_up("cannot connect", proxy->socket);
    }
}

struct proxy *proxy_start(const char *to, const struct proxy_options *options)
{
    char numbers[3][24];
    int output[2];
    char *program = getenv("SHARDY_FAULT_PROXY");
    if (!proxy_available()) {
        errno = ENOENT;
        give_up("not set, or not a program", "$SHARDY_FAULT_PROXY");
    }
    struct proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy || pipe(output) != 0) {
        give_up("no memory", "proxy");
    }
    snprintf(proxy->folder, sizeof proxy->folder, "/tmp/fault-proxy-XXXXXX");
    if (!mkdtemp(proxy->folder)) {
        give_up("cannot make a folder", proxy->folder);
    }
    snprintf(proxy->socket, sizeof proxy->socket, "%s/control", proxy->folder);
    snprintf(numbers[0], sizeof numbers[0], "%llu", (unsigned long long)options->latency_ms);
    snprintf(numbers[1], sizeof numbers[1], "%llu", (unsigned long long)options->setup_ms);
    snprintf(numbers[2], sizeof numbers[2], "%llu", (unsigned long long)options->bandwidth);
    char *to_text = strdup(to);
    char *args[ARG_COUNT] = {program,       "--to",         to_text,    "--control",
                             proxy->socket, "--latency-ms", numbers[0], "--setup-ms",
                             numbers[1],    "--bandwidth",  numbers[2]};
    size_t used = 11;
    char *secret = strdup(options->secret ? options->secret : "");
    if (options->secret) {
        args[used++] = "--secret";
        args[used++] = secret;
    }
    if (options->ignore_conditionals) {
        args[used++] = "--ignore-conditionals";
    }
    start_program(proxy, args, output);
    free(to_text);
    free(secret);
    read_address(proxy, output[0]);
    close(output[0]);
    connect_control(proxy);
    return proxy;
}

void proxy_stop(struct proxy *proxy)
{
    if (!proxy) {
        return;
    }
    close(proxy->control);
    kill(proxy->pid, SIGKILL);
    while (waitpid(proxy->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    unlink(proxy->socket);
    rmdir(proxy->folder);
    free(proxy->answer);
    free(proxy);
}

const char *proxy_address(const struct proxy *proxy)
{
    return proxy->address;
}

const char *proxy_url(const struct proxy *proxy)
{
    return proxy->url;
}

const char *proxy_control(const struct proxy *proxy)
{
    return proxy->socket;
}

static void read_some(struct proxy *proxy, size_t *used)
{
    if (proxy->answer_size - *used < 65536) {
        proxy->answer_size = (proxy->answer_size + 65536) * 2;
        proxy->answer = realloc(proxy->answer, proxy->answer_size);
        if (!proxy->answer) {
            give_up("no memory", "answer");
        }
    }
    ssize_t count = recv(proxy->control, proxy->answer + *used, proxy->answer_size - *used - 1, 0);
    if (count == 0 || (count < 0 && errno != EINTR)) {
        give_up("the proxy is gone", proxy->address);
    }
    *used += count > 0 ? (size_t)count : 0;
    proxy->answer[*used] = '\0';
}

/* Send a command and read as many lines as it answers: one, or as many as its first one says. */
static const char *ask(struct proxy *proxy, const char *command, bool table)
{
    char line[4096];
    size_t used = 0, seen = 0, at = 0;
    int size = snprintf(line, sizeof line, "%s\n", command);
    if (size < 0 || (size_t)size >= sizeof line ||
        send(proxy->control, line, (size_t)size, MSG_NOSIGNAL) != size) {
        give_up("cannot send", command);
    }
    size_t lines = 1;
    do {
        read_some(proxy, &used);
        if (table && memchr(proxy->answer, '\n', used)) {
            lines = strtoull(proxy->answer, NULL, 10) + 1;
        }
        for (; at < used; at++) {
            seen += proxy->answer[at] == '\n';
        }
    } while (seen < lines);
    return proxy->answer;
}

const char *proxy_try(struct proxy *proxy, const char *command)
{
    return ask(proxy, command, false);
}

const char *proxy_command(struct proxy *proxy, const char *command)
{
    const char *answer = ask(proxy, command, false);
    if (strncmp(answer, "{\"error\"", 8) == 0) {
        errno = EINVAL;
        fprintf(stderr, "proxy_client: %s", answer);
        give_up("the proxy does not take this", command);
    }
    return answer;
}

static void command_format(struct proxy *proxy, const char *word, const char *format, va_list args)
{
    char line[4000];
    int size = snprintf(line, sizeof line, "%s ", word);
    vsnprintf(line + size, sizeof line - (size_t)size, format, args);
    proxy_command(proxy, line);
}

void proxy_rule(struct proxy *proxy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    command_format(proxy, "rule", format, args);
    va_end(args);
}

void proxy_set(struct proxy *proxy, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    command_format(proxy, "set", format, args);
    va_end(args);
}

void proxy_clear(struct proxy *proxy)
{
    proxy_command(proxy, "clear");
}

void proxy_reset(struct proxy *proxy)
{
    proxy_command(proxy, "reset");
}

static uint64_t number_of(const char *json, const char *name)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *at = strstr(json, quoted);
    if (!at) {
        errno = EPROTO;
        give_up("not in the answer of the proxy", name);
    }
    return strtoull(at + strlen(quoted), NULL, 10);
}

void proxy_read_stats(struct proxy *proxy, struct proxy_stats *stats)
{
    const char *json = proxy_command(proxy, "stats");
    stats->requests = number_of(json, "requests");
    stats->connections = number_of(json, "connections");
    stats->in_flight = number_of(json, "in_flight");
    stats->max_in_flight = number_of(json, "max_in_flight");
    stats->rounds = number_of(json, "rounds");
    stats->request_bytes = number_of(json, "request_bytes");
    stats->response_bytes = number_of(json, "response_bytes");
    stats->request_body_bytes = number_of(json, "request_body_bytes");
    stats->response_body_bytes = number_of(json, "response_body_bytes");
    stats->faults = number_of(json, "faults");
    stats->aborted = number_of(json, "aborted");
    stats->logged = number_of(json, "logged");
}

/* The next field of a line; fields end with a tab, the last one with the line. */
static const char *field(char **at)
{
    char *start = *at;
    size_t size = strcspn(start, "\t\n");
    *at = start + size + (start[size] != '\0');
    start[size] = '\0';
    return start;
}

static uint64_t number(char **at)
{
    return strtoull(field(at), NULL, 10);
}

static void text(char **at, char *out, size_t size)
{
    snprintf(out, size, "%s", field(at));
}

size_t proxy_read_log(struct proxy *proxy, struct proxy_record **records)
{
    ask(proxy, "table", true);
    char *at = proxy->answer;
    size_t count = number(&at);
    *records = calloc(count + 1, sizeof **records);
    if (!*records) {
        give_up("no memory", "log");
    }
    for (size_t i = 0; i < count; i++) {
        struct proxy_record *record = &(*records)[i];
        record->number = number(&at);
        text(&at, record->method, sizeof record->method);
        record->status = (int)number(&at);
        record->connection = number(&at);
        record->start_us = number(&at);
        record->end_us = number(&at);
        record->request_bytes = number(&at);
        record->response_bytes = number(&at);
        record->request_body_bytes = number(&at);
        record->response_body_bytes = number(&at);
        record->aborted = number(&at) != 0;
        text(&at, record->fault, sizeof record->fault);
        text(&at, record->range, sizeof record->range);
        text(&at, record->target, sizeof record->target);
    }
    return count;
}
