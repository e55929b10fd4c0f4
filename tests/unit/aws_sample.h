/*
 * aws_sample.h - for the tests of credentials: an environment without any of the machine's, a home
 * folder, and the fake services of tests/fakes/aws_fake.py.
 */
#ifndef TESTS_AWS_SAMPLE_H
#define TESTS_AWS_SAMPLE_H

#include "aws/credentials_internal.h"
#include "store_sample.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

extern char **environ;

/* Pieces of profiles and environments of several tests. */
#define STATIC_PROFILE \
    "[base]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = CANARY-secret-profile\n"
#define ENV_KEYS \
    "AWS_ACCESS_KEY_ID=AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY=CANARY-secret-environment"
#define STS "AWS_ENDPOINT_URL_STS=http://127.0.0.1:$PORT"
#define IMDS \
    "AWS_EC2_METADATA_DISABLED=", "AWS_EC2_METADATA_SERVICE_ENDPOINT=http://127.0.0.1:$PORT/"
#define ROLE    "role_arn = arn:aws:iam::1:role/r\n"
#define WEB     "AWS_WEB_IDENTITY_TOKEN_FILE=$HOME/token", "AWS_ROLE_ARN=arn:aws:iam::1:role/web"
#define FULL    "AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1:$PORT/creds?id=CANARY"
#define SSO_ENV "AWS_PROFILE=p", "AWS_ENDPOINT_URL_SSO=http://127.0.0.1:$PORT"
#define SSO_PROFILE                                                                               \
    "[profile p]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = Read Only\n" \
    "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.example/start\n"
/* SHA-1 of "corp", of "over", and of the start URL below. */
#define SSO_CACHE      ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json"
#define SSO_OVER_CACHE ".aws/sso/cache/f0fed7e4932302916b4e9c73fe47edcafeed7c44.json"
#define SSO_URL_CACHE  ".aws/sso/cache/103c764598c7bfb84492cce4b625216b27775ddd.json"
#define ISSUED_1       "ASIAISSUED000001"
#define ISSUED_2       "ASIAISSUED000002"
#define UNREACHABLE    "http://127.0.0.1:1"

/* Every secret of the tests and of the fake holds this word. */
#define CANARY "CANARY"

struct fake {
    pid_t pid;
    FILE *commands;
    FILE *answers;
    char port[16];
};

static struct fake fake;
static char home[256];

static inline void end_fake(void)
{
    if (fake.pid > 0) {
        fclose(fake.commands);
        fclose(fake.answers);
        waitpid(fake.pid, NULL, 0);
        fake.pid = 0;
    }
}

static inline bool start_fake(void)
{
    const char *fakes = getenv("SHARDY_FAKES");
    char script[1024];
    int to[2];
    int from[2];
    posix_spawn_file_actions_t actions;
    snprintf(script, sizeof script, "%s/aws_fake.py", fakes ? fakes : "tests/fakes");
    char python[] = "python3";
    char *argv[] = {python, script, NULL};
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0) {
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to[0], 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    int rc = posix_spawnp(&fake.pid, python, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(to[0]);
    close(from[1]);
    fake.commands = fdopen(to[1], "w");
    fake.answers = fdopen(from[0], "r");
    if (rc != 0 || !fake.commands || !fake.answers ||
        !fgets(fake.port, sizeof fake.port, fake.answers)) {
        return false;
    }
    fake.port[strcspn(fake.port, "\n")] = '\0';
    return true;
}

/* One command, one answer; the answer lives until the next command. */
static inline const char *tell(const char *command)
{
    static char answer[4096];
    fprintf(fake.commands, "%s\n", command);
    fflush(fake.commands);
    if (!fgets(answer, sizeof answer, fake.answers)) {
        abort();
    }
    answer[strcspn(answer, "\n")] = '\0';
    return answer;
}

static inline int asked(const char *service)
{
    char command[64];
    snprintf(command, sizeof command, "count %s", service);
    return (int)strtol(tell(command), NULL, 10);
}

/* Text with $PORT and $HOME filled in. */
static inline void fill_in(const char *text, char *out, size_t size)
{
    size_t used = 0;
    while (*text && used + 1 < size) {
        const char *with = strncmp(text, "$PORT", 5) == 0   ? fake.port
                           : strncmp(text, "$HOME", 5) == 0 ? home
                                                            : NULL;
        if (with) {
            used += (size_t)snprintf(out + used, size - used, "%s", with);
            text += 5;
        } else {
            out[used++] = *text++;
        }
    }
    out[used < size ? used : size - 1] = '\0';
}

/* A file below the home folder; NULL removes it. */
static inline void home_file(const char *name, const char *text)
{
    static char filled[8192];
    char path[512];
    snprintf(path, sizeof path, "%s/%s", home, name);
    for (char *slash = strchr(path + strlen(home) + 1, '/'); slash;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    if (!text) {
        (void)remove(path);
        return;
    }
    fill_in(text, filled, sizeof filled);
    FILE *file = fopen(path, "w");
    if (!file || fputs(filled, file) < 0 || fclose(file) != 0) {
        perror(path);
        abort();
    }
}

static inline void set_env(const char *name, const char *value)
{
    char filled[1024];
    fill_in(value, filled, sizeof filled);
    setenv(name, filled, 1);
}

/* Nothing of the machine: no variables, no files, no metadata service. */
static inline void clean_environment(void)
{
    static const char *const prefixes[] = {"AWS_", "S3_"};
    char name[256];
    for (size_t i = 0; environ[i];) {
        size_t size = strcspn(environ[i], "=");
        bool ours = false;
        for (size_t p = 0; p < COUNT_OF(prefixes); p++) {
            ours = ours || strncmp(environ[i], prefixes[p], strlen(prefixes[p])) == 0;
        }
        if (ours && size < sizeof name) {
            memcpy(name, environ[i], size);
            name[size] = '\0';
            unsetenv(name);
        } else {
            i++;
        }
    }
    setenv("HOME", home, 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    home_file(".aws/credentials", NULL);
    home_file(".aws/config", NULL);
    if (fake.pid > 0) {
        tell("reset");
    }
}

static inline int set_up_home(void **state)
{
    char url[256];
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    make_folder(home, url);
    clean_environment();
    return 0;
}

static inline int set_up_fake(void **state)
{
    if (!start_fake()) {
        return -1;
    }
    return set_up_home(state);
}

static inline int tear_down(void **state)
{
    (void)state;
    end_fake();
    remove_folder(home);
    return 0;
}

static inline void set_variables(const char *const *env, size_t count)
{
    for (size_t i = 0; i < count && env[i]; i++) {
        char name[64];
        size_t size = strcspn(env[i], "=");
        memcpy(name, env[i], size);
        name[size] = '\0';
        set_env(name, env[i] + size + 1);
    }
}

/* Tokens where the variables and profiles above look for them. */
static inline void write_tokens(void)
{
    home_file("token", " CANARY.web.identity.token\n");
    home_file("words", "CANARY two\n");
    home_file("wrong", "CANARY.another.token.that.is.wrong");
    home_file(SSO_CACHE, "{\"accessToken\": \"CANARY-sso-access-token\", \"expiresAt\": "
                         "\"2099-01-01T00:00:00Z\"}");
    home_file(SSO_URL_CACHE, "{\"accessToken\": \"CANARY-sso-access-token\", \"expiresAt\": "
                             "\"2099-01-01T00:00:00UTC\"}");
    home_file(SSO_OVER_CACHE, "{\"accessToken\": \"CANARY-sso-access-token\", \"expiresAt\": "
                              "\"2020-01-01T00:00:00Z\"}");
}

static inline struct sfi_credential_provider *
new_provider(const struct sfi_credentials_options *options)
{
    static const struct sfi_credentials_options none;
    struct sfi_credential_provider *provider = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    if (sfi_credential_provider_new(options ? options : &none, &provider, &error) != SHARDY_OK) {
        print_message("%s\n", error.message);
        abort();
    }
    return provider;
}

#endif
