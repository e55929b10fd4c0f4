/*
 * s3_server.c - starts versitygw or moto for a test. The server listens on a port of the kernel's
 * choice; which one that is stands in /proc, so no other program can be taken for ours.
 */
#include "s3_server.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define START_TIMEOUT_MS 60000
#define STEP_MS          10
#define SOCKETS_MAX      64

struct s3_server {
    enum s3_server_kind kind;
    pid_t pid;
    unsigned port;
    char folder[256], data[280], meta[280], bucket[320], log[280];
    char address[32], url[48];
};

static const struct {
    const char *variable, *cached, *name, *missing;
} programs[] = {
    {"SHARDY_VERSITYGW", "bin/versitygw", "versitygw",
     "no S3 server: versitygw is not there; run scripts/bootstrap test, or set SHARDY_VERSITYGW"},
    {"SHARDY_MOTO", "venv/bin/moto_server", "moto_server",
     "no S3 server: moto_server is not there; run scripts/bootstrap test, or set SHARDY_MOTO"},
};

static bool is_program(const char *path)
{
    return access(path, X_OK) == 0;
}

static bool search_path(const char *name, char *out, size_t size)
{
    const char *at = getenv("PATH");
    while (at && *at) {
        size_t length = strcspn(at, ":");
        snprintf(out, size, "%.*s/%s", (int)length, at, name);
        if (is_program(out)) {
            return true;
        }
        at += length + (at[length] == ':');
    }
    return false;
}

static bool find_program(enum s3_server_kind kind, char *out, size_t size)
{
    const char *given = getenv(programs[kind].variable);
    const char *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (given && *given) {
        snprintf(out, size, "%s", given);
        return is_program(out);
    }
    if (cache && *cache) {
        snprintf(out, size, "%s/shardyfusion/%s", cache, programs[kind].cached);
    } else {
        snprintf(out, size, "%s/.cache/shardyfusion/%s", home && *home ? home : "/var/tmp",
                 programs[kind].cached);
    }
    return is_program(out) || search_path(programs[kind].name, out, size);
}

const char *s3_server_missing(enum s3_server_kind kind)
{
    char path[1024];
    return find_program(kind, path, sizeof path) ? NULL : programs[kind].missing;
}

bool s3_server_skip_all(enum s3_server_kind kind)
{
    const char *reason = s3_server_missing(kind);
    if (reason) {
        printf("1..0 # SKIP %s\n", reason);
    }
    return reason != NULL;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk)
{
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static void give_up(const struct s3_server *server, const char *what)
{
    char text[4096];
    FILE *log = fopen(server->log, "r");
    size_t size = log ? fread(text, 1, sizeof text, log) : 0;
    fprintf(stderr, "s3_server: %s: %s\n%.*s\n", programs[server->kind].name, what, (int)size,
            text);
    abort();
}

/* Where the server keeps ETags: with the files, when the file system can do that. */
static bool has_attributes(const char *folder)
{
    return setxattr(folder, "user.shardy", "1", 1, 0) == 0;
}

static void run_server(struct s3_server *server, const char *program, pid_t parent)
{
    int log = open(server->log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int null = open("/dev/null", O_RDONLY);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || log < 0 || null < 0) {
        _exit(127);
    }
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    if (server->kind == S3_SERVER_MOTO) {
        execl(program, program, "-H", "127.0.0.1", "-p", "0", (char *)NULL);
    } else if (has_attributes(server->data)) {
        execl(program, program, "--port", "127.0.0.1:0", "--access", S3_SERVER_ACCESS_KEY,
              "--secret", S3_SERVER_SECRET_KEY, "--region", S3_SERVER_REGION, "--quiet",
              "--keep-alive", "posix", server->data, (char *)NULL);
    } else {
        execl(program, program, "--port", "127.0.0.1:0", "--access", S3_SERVER_ACCESS_KEY,
              "--secret", S3_SERVER_SECRET_KEY, "--region", S3_SERVER_REGION, "--quiet",
              "--keep-alive", "posix", "--sidecar", server->meta, server->data, (char *)NULL);
    }
    _exit(127);
}

/* Inodes of the sockets that the server has open. */
static size_t sockets_of(pid_t pid, unsigned long *inodes)
{
    char path[64], link[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder && count < SOCKETS_MAX && (entry = readdir(folder))) {
        ssize_t size = readlinkat(dirfd(folder), entry->d_name, link, sizeof link - 1);
        link[size > 0 ? size : 0] = '\0';
        count += sscanf(link, "socket:[%lu]", &inodes[count]) == 1;
    }
    if (folder) {
        closedir(folder);
    }
    return count;
}

/* The port on which the process listens; 0 = none yet. */
static unsigned listening_port(pid_t pid)
{
    unsigned long inodes[SOCKETS_MAX];
    size_t count = sockets_of(pid, inodes);
    char line[512];
    unsigned found = 0;
    FILE *table = count ? fopen("/proc/net/tcp", "r") : NULL;
    while (table && !found && fgets(line, sizeof line, table)) {
        unsigned port = 0, state = 0;
        unsigned long inode = 0;
        if (sscanf(line, " %*d: %*x:%x %*x:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %lu", &port, &state,
                   &inode) != 3 ||
            state != 0x0A) {
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            found = inodes[i] == inode ? port : found;
        }
    }
    if (table) {
        fclose(table);
    }
    return found;
}

/* Send one request without a body; whether the server has answered with that status or, for 0, any.
 */
static bool answers(unsigned port, const char *request, int wanted)
{
    char text[256];
    int status = 0;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
        send(fd, request, strlen(request), MSG_NOSIGNAL) == (ssize_t)strlen(request)) {
        ssize_t size = recv(fd, text, sizeof text - 1, 0);
        text[size > 0 ? size : 0] = '\0';
        if (sscanf(text, "HTTP/1.%*d %d", &status) != 1) {
            status = 0;
        }
    }
    close(fd);
    return status && (!wanted || status == wanted);
}

static void wait_until_ready(struct s3_server *server)
{
    for (int waited = 0; waited < START_TIMEOUT_MS; waited += STEP_MS) {
        if (waitpid(server->pid, NULL, WNOHANG) != 0) {
            give_up(server, "ended at once");
        }
        server->port = listening_port(server->pid);
        if (server->port && answers(server->port, "GET / HTTP/1.0\r\nHost: s3\r\n\r\n", 0)) {
            return;
        }
        usleep(STEP_MS * 1000);
    }
    give_up(server, "does not answer");
}

static void make_folders(struct s3_server *server)
{
    const char *root = getenv("TMPDIR");
    snprintf(server->folder, sizeof server->folder, "%s/shardy-s3-XXXXXX",
             root && *root ? root : "/tmp");
    if (!mkdtemp(server->folder)) {
        give_up(server, "cannot make a folder");
    }
    snprintf(server->data, sizeof server->data, "%s/data", server->folder);
    snprintf(server->meta, sizeof server->meta, "%s/meta", server->folder);
    snprintf(server->bucket, sizeof server->bucket, "%s/%s", server->data, S3_SERVER_BUCKET);
    snprintf(server->log, sizeof server->log, "%s/log", server->folder);
    if (mkdir(server->data, 0700) != 0 || mkdir(server->meta, 0700) != 0 ||
        (server->kind == S3_SERVER_VERSITYGW && mkdir(server->bucket, 0700) != 0)) {
        give_up(server, "cannot make a folder");
    }
}

struct s3_server *s3_server_start(enum s3_server_kind kind)
{
    char program[1024];
    pid_t parent = getpid();
    struct s3_server *server = calloc(1, sizeof *server);
    if (!server) {
        abort();
    }
    server->kind = kind;
    if (!find_program(kind, program, sizeof program)) {
        give_up(server, programs[kind].missing);
    }
    make_folders(server);
    server->pid = fork();
    if (server->pid == 0) {
        run_server(server, program, parent);
    }
    if (server->pid < 0) {
        give_up(server, "cannot fork");
    }
    wait_until_ready(server);
    if (kind == S3_SERVER_MOTO &&
        !answers(server->port,
                 "PUT /" S3_SERVER_BUCKET " HTTP/1.0\r\nHost: s3\r\nContent-Length: 0\r\n\r\n",
                 200)) {
        give_up(server, "cannot make the bucket");
    }
    snprintf(server->address, sizeof server->address, "127.0.0.1:%u", server->port);
    snprintf(server->url, sizeof server->url, "http://%s", server->address);
    return server;
}

void s3_server_stop(struct s3_server *server)
{
    if (!server) {
        return;
    }
    kill(server->pid, SIGKILL);
    while (waitpid(server->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    nftw(server->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(server);
}

const char *s3_server_address(const struct s3_server *server)
{
    return server->address;
}

const char *s3_server_url(const struct s3_server *server)
{
    return server->url;
}

const char *s3_server_folder(const struct s3_server *server)
{
    return server->kind == S3_SERVER_VERSITYGW ? server->bucket : NULL;
}

void s3_server_set_environment(const char *endpoint)
{
    static const char *const others[] = {
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ROLE_ARN",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        unsetenv(others[i]);
    }
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_ACCESS_KEY_ID", S3_SERVER_ACCESS_KEY, 1);
    setenv("AWS_SECRET_ACCESS_KEY", S3_SERVER_SECRET_KEY, 1);
    setenv("AWS_REGION", S3_SERVER_REGION, 1);
    setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
}
