/*
 * control.c - the control socket: one command a line, one answer of JSON (or, for `table`, lines).
 * The socket is a Unix one, so that only this machine's user can reach it.
 */
#include "proxy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct control {
    struct handler handler;
    struct buf in;
};

static bool path_address(const char *path, struct sockaddr_un *address)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    snprintf(address->sun_path, sizeof address->sun_path, "%s", path);
    return true;
}

bool control_listen(const char *path, struct handler *listener)
{
    struct sockaddr_un address;
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return listener->fd >= 0 && path_address(path, &address) &&
           bind(listener->fd, (struct sockaddr *)&address, sizeof address) == 0 &&
           listen(listener->fd, 16) == 0;
}

void control_accept(struct handler *listener)
{
    int fd = accept4(listener->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct control *control = must(calloc(1, sizeof *control));
    control->handler = (struct handler){.source = SOURCE_CONTROL, .fd = fd};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &control->handler};
    epoll_ctl(poll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void problem(struct buf *out, const char *text)
{
    buf_text(out, "{\"error\":");
    buf_json(out, text);
    buf_text(out, "}\n");
}

static void set(const char *words, struct buf *out)
{
    unsigned long long value = 0;
    char name[64];
    int used = 0;
    while (sscanf(words, " %63[a-z-]=%llu%n", name, &value, &used) == 2) {
        if (strcmp(name, "latency-ms") == 0) {
            settings.latency_ms = value;
        } else if (strcmp(name, "setup-ms") == 0) {
            settings.setup_ms = value;
        } else if (strcmp(name, "bandwidth") == 0) {
            settings.bandwidth = value;
        } else if (strcmp(name, "ignore-conditionals") == 0) {
            settings.ignore_conditionals = value != 0;
        } else {
            problem(out, name);
            return;
        }
        words += used;
    }
    if (words[strspn(words, " ")] != '\0') {
        problem(out, words);
        return;
    }
    buf_format(out,
               "{\"latency_ms\":%llu,\"setup_ms\":%llu,\"bandwidth\":%llu,"
               "\"ignore_conditionals\":%s}\n",
               (unsigned long long)settings.latency_ms, (unsigned long long)settings.setup_ms,
               (unsigned long long)settings.bandwidth,
               settings.ignore_conditionals ? "true" : "false");
}

static void add_rule(const char *words, struct buf *out)
{
    struct rule rule;
    struct buf text = {0};
    if (!rule_parse(words, &rule, &text)) {
        problem(out, buf_at(&text));
    } else {
        int id = rules_add(&rule);
        if (id) {
            buf_format(out, "{\"rule\":%d}\n", id);
        } else {
            problem(out, "too many rules");
        }
    }
    buf_clear(&text);
}

static void run(const char *line, struct buf *out)
{
    if (strcmp(line, "stats") == 0) {
        stats_json(out, false);
    } else if (strcmp(line, "log") == 0) {
        stats_json(out, true);
    } else if (strcmp(line, "table") == 0) {
        stats_table(out);
    } else if (strcmp(line, "reset") == 0) {
        stats_reset(clock_ns());
        buf_text(out, "{\"reset\":true}\n");
    } else if (strcmp(line, "clear") == 0) {
        rules_clear();
        answers_forget();
        buf_text(out, "{\"cleared\":true}\n");
    } else if (strcmp(line, "rules") == 0) {
        rules_json(out);
    } else if (strncmp(line, "rule ", 5) == 0) {
        add_rule(line + 5, out);
    } else if (strcmp(line, "set") == 0 || strncmp(line, "set ", 4) == 0) {
        set(line + 3, out);
    } else if (strcmp(line, "quit") == 0) {
        exit(0);
    } else {
        problem(out,
                "not a command: use stats, log, table, reset, clear, rule, rules, set or quit");
    }
}

static bool send_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t count = send(fd, bytes, size, MSG_NOSIGNAL);
        if (count <= 0) {
            return false;
        }
        bytes += count;
        size -= (size_t)count;
    }
    return true;
}

void control_read(struct handler *handler)
{
    struct control *control = (struct control *)handler;
    char text[4096];
    ssize_t count = recv(handler->fd, text, sizeof text, 0);
    bool good = count > 0;
    if (good) {
        buf_add(&control->in, text, (size_t)count);
    }
    while (good && buf_size(&control->in) > 0) {
        char *line = buf_at(&control->in);
        char *end = memchr(line, '\n', buf_size(&control->in));
        if (!end) {
            break;
        }
        struct buf out = {0};
        *end = '\0';
        run(line, &out);
        good = send_all(handler->fd, buf_at(&out), buf_size(&out));
        buf_clear(&out);
        buf_take(&control->in, (size_t)(end - line) + 1);
    }
    if (!good) {
        close(handler->fd);
        buf_clear(&control->in);
        free(control);
    }
}

/* For scripts: send one command, print the answer; exit status 1 when it is an error. */
int control_send(const char *path, const char *command)
{
    struct sockaddr_un address;
    char text[65536];
    size_t sent = strlen(command);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || !path_address(path, &address) ||
        connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
        fprintf(stderr, "fault_proxy: %s: %s\n", path, strerror(errno));
        return 1;
    }
    if (!send_all(fd, command, sent) || !send_all(fd, "\n", 1)) {
        return 1;
    }
    shutdown(fd, SHUT_WR);
    bool failed = false;
    bool first = true;
    ssize_t count;
    while ((count = recv(fd, text, sizeof text, 0)) > 0) {
        failed = failed || (first && count > 8 && memcmp(text, "{\"error\"", 8) == 0);
        first = false;
        fwrite(text, 1, (size_t)count, stdout);
    }
    close(fd);
    return failed;
}
