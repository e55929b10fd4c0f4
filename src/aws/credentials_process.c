/*
 * credentials_process.c - run the command of `credential_process` and read what it prints.
 * Source: AWS SDKs and Tools Reference Guide, "Process credential provider".
 *
 * No shell: the command is split into words with quotes and backslashes and executed. Its standard
 * error stays the user's; what it prints is never quoted. Output and time are bounded, and a
 * command that goes on is killed with its children.
 */
#include "aws/credentials_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLICE_MS    50
#define SPAWN_FLAGS (POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF)

extern char **environ;

struct process {
    const struct sfi_lookup *lookup;
    const char *what;
    pid_t pid;
    int out; /* read end; -1 = closed */
    uint64_t deadline_us;
    char *text; /* SFI_AWS_ANSWER_MAX + 1 bytes */
    size_t size;
};

/* One word from *at to *to, NUL-terminated. false: a quote is not closed. */
static bool take_word(const char **at, char **to)
{
    char quote = '\0';
    const char *p = *at;
    char *out = *to;
    for (; *p && (quote || !strchr(" \t\r\n", *p)); p++) {
        if (quote && *p == quote) {
            quote = '\0';
        } else if (!quote && (*p == '\'' || *p == '"')) {
            quote = *p;
        } else if (*p == '\\' && p[1] && (!quote || (quote == '"' && strchr("\"\\", p[1])))) {
            *out++ = *++p;
        } else {
            *out++ = *p;
        }
    }
    *out++ = '\0';
    *at = p;
    *to = out;
    return !quote;
}

shardy_status sfi_process_split(const char *command, char ***words, size_t *count,
                                shardy_error *err)
{
    /* Pointers first, the words behind them: quotes only ever make the text shorter. */
    size_t head = (SFI_AWS_PROCESS_ARGS + 1) * sizeof(char *);
    char **list = sfi_secret_alloc(head + strlen(command) + SFI_AWS_PROCESS_ARGS + 1);
    const char *problem = NULL;
    *words = NULL;
    *count = 0;
    if (!list) {
        return sfi_fail_memory(err, head);
    }
    char *to = (char *)list + head;
    for (;;) {
        command += strspn(command, " \t\r\n");
        if (!*command || problem) {
            break;
        }
        if (*count == SFI_AWS_PROCESS_ARGS) {
            problem = "has too many arguments";
            break;
        }
        list[(*count)++] = to;
        problem = take_word(&command, &to) ? NULL : "has a quote that is not closed";
    }
    if (!problem && *count == 0) {
        problem = "is empty";
    }
    if (problem) {
        sfi_secret_free(list);
        return sfi_fail(err, SHARDY_CONFIG, "credential_process %s", problem);
    }
    list[*count] = NULL;
    *words = list;
    return SHARDY_OK;
}

/* Group, signals and descriptors of a fresh program; nothing of ours leaks into it. */
static int prepare(posix_spawnattr_t *attributes, posix_spawn_file_actions_t *actions, int out)
{
    sigset_t none;
    sigset_t restored;
    sigemptyset(&none);
    sigemptyset(&restored);
    sigaddset(&restored, SIGPIPE);
    sigaddset(&restored, SIGCHLD);
    int rc = posix_spawnattr_setflags(attributes, SPAWN_FLAGS);
    rc = rc ? rc : posix_spawnattr_setpgroup(attributes, 0);
    rc = rc ? rc : posix_spawnattr_setsigmask(attributes, &none);
    rc = rc ? rc : posix_spawnattr_setsigdefault(attributes, &restored);
    rc = rc ? rc : posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    rc = rc ? rc : posix_spawn_file_actions_adddup2(actions, out, 1);
    return rc;
}

static shardy_status start(struct process *process, char **words, shardy_error *err)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return sfi_fail_errno(err, SHARDY_IO, errno, "%s: credential_process", process->what);
    }
    int rc = posix_spawnattr_init(&attributes);
    if (rc == 0) {
        rc = posix_spawn_file_actions_init(&actions);
        if (rc == 0) {
            rc = prepare(&attributes, &actions, ends[1]);
            rc = rc ? rc
                    : posix_spawnp(&process->pid, words[0], &actions, &attributes, words, environ);
            posix_spawn_file_actions_destroy(&actions);
        }
        posix_spawnattr_destroy(&attributes);
    }
    close(ends[1]);
    process->out = ends[0];
    if (rc != 0) {
        process->pid = 0;
        return sfi_fail_errno(err, SHARDY_CONFIG, rc, "%s: cannot run credential_process %.200s",
                              process->what, words[0]);
    }
    return SHARDY_OK;
}

static shardy_status out_of_time(const struct process *process, shardy_error *err)
{
    if (atomic_load(process->lookup->stopping)) {
        return sfi_fail(err, SHARDY_CANCELLED, "%s: credential_process: cancelled", process->what);
    }
    if (sfi_monotonic_us() >= process->deadline_us) {
        return sfi_fail(err, SHARDY_STORE, "%s: credential_process did not end within %u seconds",
                        process->what, SFI_AWS_PROCESS_MS / 1000);
    }
    return SHARDY_OK;
}

static shardy_status read_output(struct process *process, shardy_error *err)
{
    for (;;) {
        struct pollfd wait = {process->out, POLLIN, 0};
        SFI_RETURN_IF_ERR(out_of_time(process, err));
        if (poll(&wait, 1, SLICE_MS) <= 0) {
            continue;
        }
        ssize_t got = read(process->out, process->text + process->size,
                           SFI_AWS_ANSWER_MAX + 1 - process->size);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return sfi_fail_errno(err, SHARDY_IO, errno, "%s: credential_process", process->what);
        }
        if (got == 0) {
            return SHARDY_OK;
        }
        process->size += (size_t)got;
        if (process->size > SFI_AWS_ANSWER_MAX) {
            return sfi_fail(err, SHARDY_LIMIT,
                            "%s: credential_process printed more than the limit of %u bytes",
                            process->what, SFI_AWS_ANSWER_MAX);
        }
    }
}

/* Its end; a program that ignores SIGCHLD has no exit status, and the output decides. */
static shardy_status wait_end(struct process *process, shardy_error *err)
{
    int status = 0;
    for (;;) {
        pid_t pid = waitpid(process->pid, &status, WNOHANG);
        if (pid == process->pid || (pid < 0 && errno == ECHILD)) {
            process->pid = 0;
            break;
        }
        SFI_RETURN_IF_ERR(out_of_time(process, err));
        nanosleep(&(struct timespec){0, 1000000L}, NULL);
    }
    if (WIFSIGNALED(status)) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: credential_process ended by signal %d",
                        process->what, WTERMSIG(status));
    }
    if (WEXITSTATUS(status) != 0) {
        return sfi_fail(err, SHARDY_CONFIG, "%s: credential_process ended with exit status %d",
                        process->what, WEXITSTATUS(status));
    }
    return SHARDY_OK;
}

static void end(struct process *process)
{
    if (process->pid > 0) {
        kill(-process->pid, SIGKILL);
        while (waitpid(process->pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (process->out >= 0) {
        close(process->out);
    }
    sfi_secret_free(process->text);
}

static shardy_status parse_output(const struct process *process,
                                  struct sfi_credential_values *values, shardy_error *err)
{
    static const struct sfi_credential_names names = {"AccessKeyId", "SecretAccessKey",
                                                      "SessionToken", "Expiration"};
    char what[SFI_SOURCE_SIZE + 24];
    struct sfi_json_doc doc;
    bool negative;
    uint64_t version = 0;
    snprintf(what, sizeof what, "%s: credential_process", process->what);
    shardy_status st = sfi_secret_json_parse(
        (struct sfi_bytes){(const uint8_t *)process->text, process->size}, what, &doc, err);
    if (st == SHARDY_OK) {
        const struct sfi_json *member = sfi_json_member(doc.root, "Version");
        if (!member || !sfi_json_integer(member, &negative, &version) || negative || version != 1) {
            st = sfi_fail(err, SHARDY_CONFIG, "%s: the output has no \"Version\": 1", what);
        } else {
            st = sfi_values_from_json(doc.root, &names, what, values, err);
        }
    }
    sfi_secret_json_clear(&doc);
    return st;
}

shardy_status sfi_process_run(struct sfi_lookup *lookup, const char *what, const char *command,
                              struct sfi_credential_values *values, shardy_error *err)
{
    shardy_status st = SHARDY_OK;
    char **words = NULL;
    size_t count;
    struct process process = {.lookup = lookup, .what = what, .out = -1};
    memset(values, 0, sizeof *values);
    process.deadline_us = sfi_monotonic_us() + UINT64_C(1000) * SFI_AWS_PROCESS_MS;
    process.text = sfi_secret_alloc(SFI_AWS_ANSWER_MAX + 1);
    if (!process.text) {
        st = sfi_fail_memory(err, SFI_AWS_ANSWER_MAX);
        goto out;
    }
    st = sfi_process_split(command, &words, &count, err);
    if (st != SHARDY_OK) {
        sfi_error_prefix(err, "%s: ", what);
        goto out;
    }
    SFI_TRY(start(&process, words, err));
    SFI_TRY(read_output(&process, err));
    SFI_TRY(wait_end(&process, err));
    SFI_TRY(parse_output(&process, values, err));
out:
    end(&process);
    sfi_secret_free(words);
    return st;
}
