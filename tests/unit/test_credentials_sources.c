/*
 * test_credentials_sources.c - every source of credentials against a fake of the real protocol:
 * what is found, what was asked, and what a failure says; never a secret in any message.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "aws_sample.h"
#include "base/limits.h"
#include "base/timestamp.h"

struct row {
    const char *name;
    const char *env[6];  /* NAME=value */
    const char *profile; /* option */
    const char *credentials;
    const char *config;
    const char *tell[3];
    shardy_status status;
    const char *key_id;  /* when found */
    const char *text[4]; /* in the source, or in the message */
    const char *service; /* asked last for: */
    const char *last;
};

static const struct row rows[] = {
    /* environment */
    {.name = "environment",
     .env = {ENV_KEYS, "AWS_SESSION_TOKEN=CANARY-t"},
     .key_id = "AKIAENVIRONMENT",
     .text = {"environment (AWS_ACCESS_KEY_ID)"}},
    {.name = "per field, S3_* first",
     .env = {ENV_KEYS, "S3_ACCESS_KEY_ID=AKIAOTHER", "S3_SECRET_ACCESS_KEY="},
     .key_id = "AKIAOTHER",
     .text = {"environment (S3_ACCESS_KEY_ID)"}},
    {.name = "key id alone",
     .env = {"AWS_ACCESS_KEY_ID=AKIACANARY"},
     .status = SHARDY_CONFIG,
     .text = {"AWS_ACCESS_KEY_ID is set but AWS_SECRET_ACCESS_KEY is not"}},
    {.name = "secret alone",
     .env = {"S3_SECRET_ACCESS_KEY=CANARY"},
     .status = SHARDY_CONFIG,
     .text = {"S3_SECRET_ACCESS_KEY is set but AWS_ACCESS_KEY_ID is not"}},
    {.name = "secret with a line break",
     .env = {"AWS_ACCESS_KEY_ID=AKIAX", "AWS_SECRET_ACCESS_KEY=CANARY\n"},
     .status = SHARDY_CONFIG,
     .text = {"environment (AWS_ACCESS_KEY_ID): the secret access key is empty or holds white"}},
    /* files */
    {.name = "default profile",
     .credentials = "[default]\naws_access_key_id=AKIAD\naws_secret_access_key=CANARY\n",
     .key_id = "AKIAD",
     .text = {"profile \"default\""}},
    {.name = "credentials before config",
     .env = {"AWS_PROFILE=base"},
     .credentials = STATIC_PROFILE,
     .config = "[profile base]\naws_access_key_id=AKIAC\naws_secret_access_key=CANARY\n",
     .key_id = "AKIAPROFILE",
     .text = {"profile \"base\""}},
    {.name = "config alone",
     .env = {"AWS_DEFAULT_PROFILE=base"},
     .config = "[profile base]\naws_access_key_id=AKIAC\naws_secret_access_key=CANARY\n",
     .key_id = "AKIAC",
     .text = {"profile \"base\""}},
    {.name = "other places",
     .env = {"AWS_SHARED_CREDENTIALS_FILE=~/.aws/config", "AWS_CONFIG_FILE=$HOME/none"},
     .config = "[default]\naws_access_key_id=AKIAC\naws_secret_access_key=CANARY\n",
     .key_id = "AKIAC",
     .text = {"profile \"default\""}},
    {.name = "environment before the profile",
     .env = {ENV_KEYS, "AWS_PROFILE=base"},
     .credentials = STATIC_PROFILE,
     .key_id = "AKIAENVIRONMENT",
     .text = {"environment"}},
    {.name = "profile option before the environment",
     .env = {ENV_KEYS},
     .profile = "base",
     .credentials = STATIC_PROFILE,
     .key_id = "AKIAPROFILE",
     .text = {"profile \"base\""}},
    {.name = "profile that is not there",
     .env = {"AWS_PROFILE=dve"},
     .credentials = STATIC_PROFILE,
     .status = SHARDY_CONFIG,
     .text = {"profile \"dve\": not found", ".aws/credentials was read",
              ".aws/config does not exist", "tried before: environment: AWS_ACCESS_KEY_ID"}},
    {.name = "profile without secret",
     .env = {"AWS_PROFILE=p"},
     .credentials = "[p]\naws_access_key_id = AKIACANARY\n",
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": aws_secret_access_key is missing"}},
    {.name = "malformed file",
     .credentials = "[default]\nCANARY\n",
     .status = SHARDY_INPUT,
     .text = {"/.aws/credentials line 2: expected"}},
    {.name = "nothing anywhere",
     .status = SHARDY_CONFIG,
     .text = {"no AWS credentials found: set AWS_ACCESS_KEY_ID",
              "tried: environment: AWS_ACCESS_KEY_ID is not set; profile \"default\": not found",
              "web identity: AWS_WEB_IDENTITY_TOKEN_FILE is not set; container: AWS_CONTAINER_",
              "instance metadata: AWS_EC2_METADATA_DISABLED is set"}},
    /* roles */
    {.name = "role",
     .env = {"AWS_PROFILE=p", STS},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\n" ROLE "source_profile = base\nexternal_id = x/1\n"
               "role_session_name = me@here\nduration_seconds = 900\nregion = eu-west-1\n",
     .key_id = ISSUED_1,
     .text = {"profile \"p\", role arn:aws:iam::1:role/r"},
     .service = "sts",
     .last = "Action=AssumeRole DurationSeconds=900 ExternalId=x/1 RoleArn=arn:aws:iam::1:role/r "
             "RoleSessionName=me@here Version=2011-06-15"},
    {.name = "role of a role",
     .env = {"AWS_PROFILE=p", STS},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\n" ROLE "source_profile = q\nrole_session_name = s\n"
               "[profile q]\nrole_arn = arn:aws:iam::1:role/q\nsource_profile = base\n",
     .key_id = ISSUED_2,
     .text = {"profile \"p\", role"},
     .service = "sts",
     .last =
         "Action=AssumeRole RoleArn=arn:aws:iam::1:role/r RoleSessionName=s Version=2011-06-15"},
    {.name = "role with the profile's own keys",
     .env = {"AWS_PROFILE=base", STS},
     .credentials = STATIC_PROFILE,
     .config = "[profile base]\n" ROLE "source_profile = base\n",
     .key_id = ISSUED_1,
     .text = {"profile \"base\", role"}},
    {.name = "keys of a source profile before its role",
     .env = {"AWS_PROFILE=p", STS},
     .credentials = STATIC_PROFILE,
     .config =
         "[profile p]\n" ROLE "source_profile = base\n[profile base]\n" ROLE "source_profile = p\n",
     .key_id = ISSUED_1,
     .text = {"profile \"p\", role"}},
    {.name = "role with the environment's keys",
     .env = {"AWS_ACCESS_KEY_ID=AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY=CANARY-secret-environment",
             STS},
     .profile = "p",
     .config = "[profile p]\n" ROLE "credential_source = Environment\n",
     .key_id = ISSUED_1,
     .text = {"profile \"p\", role"}},
    {.name = "role with the instance's",
     .env = {"AWS_PROFILE=p", STS, IMDS},
     .config = "[profile p]\n" ROLE "credential_source = Ec2InstanceMetadata\n",
     .key_id = ISSUED_2,
     .text = {"profile \"p\", role"}},
    {.name = "role with the container's",
     .env = {"AWS_PROFILE=p", STS, FULL},
     .config = "[profile p]\n" ROLE "credential_source = EcsContainer\n",
     .key_id = ISSUED_2,
     .text = {"profile \"p\", role"}},
    {.name = "role and its web identity",
     .env = {"AWS_PROFILE=p", STS},
     .config = "[profile p]\n" ROLE "web_identity_token_file = $HOME/token\n"
               "role_session_name = w\n",
     .key_id = ISSUED_1,
     .text = {"profile \"p\", role"},
     .service = "sts",
     .last = "Action=AssumeRoleWithWebIdentity RoleArn=arn:aws:iam::1:role/r RoleSessionName=w "
             "Version=2011-06-15"},
    {.name = "role without source",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\n" ROLE,
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": role_arn needs one of source_profile and credential_source"}},
    {.name = "role with both sources",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\n" ROLE "source_profile = p\ncredential_source = Environment\n",
     .status = SHARDY_CONFIG,
     .text = {"one, not both"}},
    {.name = "unknown source",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\n" ROLE "credential_source = Moon\n",
     .status = SHARDY_CONFIG,
     .text = {"credential_source \"Moon\" is none of Environment"}},
    {.name = "empty source",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\n" ROLE "credential_source = Environment\n",
     .status = SHARDY_CONFIG,
     .text = {"credential_source Environment has no credentials"}},
    {.name = "source profile that is not there",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\n" ROLE "source_profile = q\n",
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": source_profile \"q\" does not exist"}},
    {.name = "source profile without keys",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\n" ROLE "source_profile = q\n[profile q]\nregion = r\n",
     .status = SHARDY_CONFIG,
     .text = {"source_profile \"q\" has no credentials"}},
    {.name = "cycle",
     .env = {"AWS_PROFILE=p", STS},
     .config = "[profile p]\n" ROLE "source_profile = q\n[profile q]\n" ROLE "source_profile = p\n",
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": its source_profile leads back to itself"}},
    {.name = "long chain",
     .env = {"AWS_PROFILE=1", STS},
     .config = "[profile 1]\n" ROLE "source_profile=2\n[profile 2]\n" ROLE "source_profile=3\n"
               "[profile 3]\n" ROLE "source_profile=4\n[profile 4]\n" ROLE "source_profile=5\n"
               "[profile 5]\n" ROLE "source_profile=6\n[profile 6]\n" ROLE "source_profile=7\n"
               "[profile 7]\n" ROLE "source_profile=8\n[profile 8]\n" ROLE "source_profile=9\n"
               "[profile 9]\n" ROLE "source_profile=9\n",
     .status = SHARDY_LIMIT,
     .text = {"profile \"9\": more than 8 profiles"}},
    {.name = "one-time code",
     .env = {"AWS_PROFILE=p"},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\n" ROLE "source_profile = base\nmfa_serial = arn:aws:iam::1:mfa/m\n",
     .status = SHARDY_UNSUPPORTED,
     .text = {"mfa_serial is not supported without a terminal"}},
    {.name = "bad duration",
     .env = {"AWS_PROFILE=p", STS},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\n" ROLE "source_profile = base\nduration_seconds = 1h\n",
     .status = SHARDY_CONFIG,
     .text = {"duration_seconds is not a number from 900 to 43200"}},
    {.name = "denied role",
     .env = {"AWS_PROFILE=p", STS},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\nrole_arn = arn:aws:iam::1:role/denied\nsource_profile = base\n",
     .status = SHARDY_CONFIG,
     .text = {"STS at 127.0.0.1:", "answered HTTP 403 AccessDenied: User: u is not authorized"}},
    {.name = "wrong secret of the source",
     .env = {"AWS_PROFILE=p", STS},
     .credentials = "[base]\naws_access_key_id=AKIAPROFILE\naws_secret_access_key=CANARY-wrong\n",
     .config = "[profile p]\n" ROLE "source_profile = base\n",
     .status = SHARDY_CONFIG,
     .text = {"HTTP 403 SignatureDoesNotMatch: signature differs"}},
    {.name = "STS endpoint",
     .env = {"AWS_PROFILE=p", "AWS_ENDPOINT_URL_STS=ftp://CANARY@h"},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\n" ROLE "source_profile = base\n",
     .status = SHARDY_CONFIG,
     .text = {"the STS endpoint (sts_endpoint, AWS_ENDPOINT_URL_STS)"}},
    {.name = "STS not there",
     .env = {"AWS_PROFILE=p", "AWS_ENDPOINT_URL_STS=" UNREACHABLE},
     .credentials = STATIC_PROFILE,
     .config = "[profile p]\n" ROLE "source_profile = base\n",
     .status = SHARDY_STORE,
     .text = {"STS at 127.0.0.1:1: cannot be reached"}},
    /* web identity of the environment */
    {.name = "web identity",
     .env = {WEB, STS, "AWS_ROLE_SESSION_NAME=pod"},
     .key_id = ISSUED_1,
     .text = {"web identity, role arn:aws:iam::1:role/web"},
     .service = "sts",
     .last = "Action=AssumeRoleWithWebIdentity RoleArn=arn:aws:iam::1:role/web RoleSessionName=pod "
             "Version=2011-06-15"},
    {.name = "web identity without role",
     .env = {"AWS_WEB_IDENTITY_TOKEN_FILE=$HOME/token"},
     .status = SHARDY_CONFIG,
     .text = {"AWS_WEB_IDENTITY_TOKEN_FILE is set but AWS_ROLE_ARN is not"}},
    {.name = "no token file",
     .env = {"AWS_WEB_IDENTITY_TOKEN_FILE=$HOME/none", "AWS_ROLE_ARN=a"},
     .status = SHARDY_CONFIG,
     .text = {"web identity: cannot read the token file", "/none: No such"}},
    {.name = "token file of several words",
     .env = {"AWS_WEB_IDENTITY_TOKEN_FILE=$HOME/words", "AWS_ROLE_ARN=a"},
     .status = SHARDY_CONFIG,
     .text = {"/words does not hold one token"}},
    {.name = "folder as token file",
     .env = {"AWS_WEB_IDENTITY_TOKEN_FILE=$HOME", "AWS_ROLE_ARN=a"},
     .status = SHARDY_IO,
     .text = {"is not a regular file"}},
    {.name = "wrong token",
     .env = {"AWS_WEB_IDENTITY_TOKEN_FILE=$HOME/wrong", "AWS_ROLE_ARN=a", STS},
     .status = SHARDY_CONFIG,
     .text = {"answered HTTP 400 InvalidIdentityToken"}},
    /* SSO */
    {.name = "SSO session",
     .env = {SSO_ENV},
     .config = SSO_PROFILE,
     .key_id = ISSUED_1,
     .text = {"profile \"p\", SSO role Read Only"},
     .service = "sso",
     .last = "123456789012 Read Only"},
    {.name = "SSO start URL",
     .env = {SSO_ENV},
     .config = "[profile p]\nsso_start_url = https://old.example/start\nsso_region = eu-west-1\n"
               "sso_account_id = 1\nsso_role_name = R\n",
     .key_id = ISSUED_1,
     .text = {"profile \"p\", SSO role R"},
     .service = "sso",
     .last = "1 R"},
    {.name = "SSO session that is not there",
     .env = {SSO_ENV},
     .config = "[profile p]\nsso_session = q\nsso_account_id = 1\nsso_role_name = R\n",
     .status = SHARDY_CONFIG,
     .text = {"[sso-session q] does not exist or has no sso_region"}},
    {.name = "SSO account missing",
     .env = {SSO_ENV},
     .config = "[profile p]\nsso_session = q\nsso_role_name = R\n",
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": sso_account_id is missing"}},
    {.name = "nobody signed in",
     .env = {SSO_ENV},
     .config = "[profile p]\nsso_session = q\nsso_account_id = 1\nsso_role_name = R\n"
               "[sso-session q]\nsso_region = eu-west-1\n",
     .status = SHARDY_CONFIG,
     .text = {"nobody has signed in", "run `aws sso login --profile p`"}},
    {.name = "SSO session over",
     .env = {SSO_ENV},
     .config = "[profile p]\nsso_session = over\nsso_account_id = 1\nsso_role_name = R\n"
               "[sso-session over]\nsso_region = eu-west-1\n",
     .status = SHARDY_CONFIG,
     .text = {"the SSO session has expired: run `aws sso login"}},
    {.name = "SSO region as host",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\nsso_session = corp\nsso_account_id = 1\nsso_role_name = R\n"
               "[sso-session corp]\nsso_region = evil.example/CANARY\n",
     .status = SHARDY_CONFIG,
     .text = {"sso_region is not the name of a region"}},
    /* credential_process */
    {.name = "process",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = /bin/sh -c \"echo '{\\\"Version\\\": 1, "
               "\\\"AccessKeyId\\\": \\\"AKIAX\\\", \\\"SecretAccessKey\\\": \\\"CANARY\\\"}'\"\n",
     .key_id = "AKIAX",
     .text = {"profile \"p\", credential_process"}},
    {.name = "process that fails",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = sh -c 'echo CANARY; exit 3'\n",
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": credential_process ended with exit status 3"}},
    {.name = "process that is killed",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = sh -c 'kill -9 $$'\n",
     .status = SHARDY_CONFIG,
     .text = {"credential_process ended by signal 9"}},
    {.name = "process that is not there",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = /nowhere/tool --secret CANARY\n",
     .status = SHARDY_CONFIG,
     .text = {"cannot run credential_process /nowhere/tool: No such file"}},
    {.name = "process that prints no JSON",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = echo CANARY\n",
     .status = SHARDY_INPUT,
     .text = {"profile \"p\": credential_process: invalid JSON at byte 0"}},
    {.name = "process of another version",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = echo '{\"Version\": 2}'\n",
     .status = SHARDY_CONFIG,
     .text = {"the output has no \"Version\": 1"}},
    {.name = "process without secret",
     .env = {"AWS_PROFILE=p"},
     .config =
         "[profile p]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"A\"}'\n",
     .status = SHARDY_CONFIG,
     .text = {"the answer has no usable \"SecretAccessKey\""}},
    {.name = "process with expired credentials",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = echo '{\"Version\": 1, \"AccessKeyId\": \"A\", "
               "\"SecretAccessKey\": \"CANARY\", \"Expiration\": \"2020-01-01T00:00:00Z\"}'\n",
     .status = SHARDY_CONFIG,
     .text = {"its credentials expired at 2020-01-01T00:00:00Z"}},
    {.name = "process that prints for ever",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = cat /dev/zero\n",
     .status = SHARDY_LIMIT,
     .text = {"printed more than the limit of 65536 bytes"}},
    {.name = "process with an open quote",
     .env = {"AWS_PROFILE=p"},
     .config = "[profile p]\ncredential_process = echo 'CANARY\n",
     .status = SHARDY_CONFIG,
     .text = {"profile \"p\": credential_process has a quote that is not closed"}},
    /* container */
    {.name = "container",
     .env = {FULL},
     .key_id = ISSUED_1,
     .text = {"container"},
     .service = "container",
     .last = "/creds?id=CANARY"},
    {.name = "container, relative",
     .env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/x"},
     .key_id = ISSUED_1,
     .text = {"container"},
     .service = "container",
     .last = "/v2/x"},
    {.name = "container with token",
     .env = {FULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=Basic CANARY"},
     .tell = {"set container_token Basic CANARY"},
     .key_id = ISSUED_1,
     .text = {"container"}},
    {.name = "container with token file",
     .env = {FULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=$HOME/token",
             "AWS_CONTAINER_AUTHORIZATION_TOKEN=other"},
     .tell = {"set container_token CANARY.web.identity.token"},
     .key_id = ISSUED_1,
     .text = {"container"}},
    {.name = "container with wrong token",
     .env = {FULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=CANARY"},
     .tell = {"set container_token other"},
     .status = SHARDY_CONFIG,
     .text = {"container: the service answered with HTTP 401: check the authorization token"}},
    {.name = "container token with line break",
     .env = {FULL, "AWS_CONTAINER_AUTHORIZATION_TOKEN=CANARY\r\nX: y"},
     .status = SHARDY_CONFIG,
     .text = {"AWS_CONTAINER_AUTHORIZATION_TOKEN holds characters that no header may have"}},
    {.name = "container elsewhere",
     .env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI=http://evil.example/CANARY"},
     .status = SHARDY_CONFIG,
     .text = {"AWS_CONTAINER_CREDENTIALS_FULL_URI is not an address that credentials may come"}},
    {.name = "container, relative that is not",
     .env = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=@evil.example/"},
     .status = SHARDY_CONFIG,
     .text = {"RELATIVE_URI does not start with '/'"}},
    {.name = "container not there",
     .env = {"AWS_CONTAINER_CREDENTIALS_FULL_URI=" UNREACHABLE "/CANARY"},
     .status = SHARDY_STORE,
     .text = {"container: cannot be reached"}},
    /* instance metadata */
    {.name = "instance",
     .env = {IMDS},
     .key_id = ISSUED_1,
     .text = {"instance metadata, role web-role"},
     .service = "imds",
     .last = "/latest/meta-data/iam/security-credentials/web-role"},
    {.name = "instance, other variable",
     .env = {"AWS_EC2_METADATA_DISABLED=false", "AWS_METADATA_ENDPOINT=http://127.0.0.1:$PORT"},
     .key_id = ISSUED_1,
     .text = {"instance metadata"}},
    {.name = "instance without role",
     .env = {IMDS},
     .tell = {"set role none"},
     .status = SHARDY_CONFIG,
     .text = {"no AWS credentials found", "no role is attached to the instance"}},
    {.name = "instance with a role that is a path",
     .env = {IMDS},
     .tell = {"set role ../CANARY"},
     .status = SHARDY_CONFIG,
     .text = {"the role's name is not one"}},
    {.name = "instance that wants version 1",
     .env = {IMDS},
     .tell = {"set imds 403"},
     .status = SHARDY_CONFIG,
     .text = {"no AWS credentials found: set AWS_ACCESS_KEY_ID",
              "the request for a token (IMDSv2) was answered with HTTP 403"}},
    {.name = "no instance",
     .env = {"AWS_EC2_METADATA_DISABLED=", "AWS_EC2_METADATA_SERVICE_ENDPOINT=" UNREACHABLE},
     .status = SHARDY_CONFIG,
     .text = {"no AWS credentials found", "instance metadata at http://127.0.0.1:1: cannot be"}},
};

static int64_t real_now(void *arg)
{
    (void)arg;
    return sfi_now_us() / 1000000;
}

static struct sfi_credential_provider *provider_of(const struct row *row)
{
    static char base[64]; /* borrowed by the provider */
    struct sfi_credentials_options options = {.profile = row->profile};
    struct sfi_credential_provider *provider = new_provider(&options);
    snprintf(base, sizeof base, "http://127.0.0.1:%s", fake.port);
    sfi_credential_provider_override(
        provider, &(struct sfi_credential_overrides){.now = real_now, .container_base = base});
    return provider;
}

static void expect_texts(const struct row *row, const char *text)
{
    for (size_t i = 0; i < COUNT_OF(row->text) && row->text[i]; i++) {
        if (!strstr(text, row->text[i])) {
            print_message("%s: expected \"%s\" in \"%s\"\n", row->name, row->text[i], text);
            fail();
        }
    }
}

static void expect_row(const struct row *row)
{
    struct sfi_credentials *credentials = NULL;
    shardy_error error = SHARDY_ERROR_INIT;
    struct sfi_credential_provider *provider = provider_of(row);
    shardy_status st = sfi_credentials_wait(provider, 0, &credentials, &error);
    if (st != row->status) {
        print_message("%s: %s\n", row->name, error.message);
    }
    assert_int_equal(st, row->status);
    assert_null(strstr(error.message, CANARY));
    if (st == SHARDY_OK) {
        assert_string_equal(credentials->access_key_id, row->key_id);
        assert_true(strncmp(credentials->secret_access_key, CANARY, 6) == 0);
        assert_null(strstr(credentials->source, CANARY));
        assert_int_equal(credentials->generation, 1);
        expect_texts(row, credentials->source);
    } else {
        assert_null(credentials);
        assert_int_equal(error.status, st);
        expect_texts(row, error.message);
    }
    if (row->service) {
        char command[32];
        snprintf(command, sizeof command, "last %s", row->service);
        assert_string_equal(tell(command), row->last);
    }
    sfi_credentials_release(credentials);
    sfi_credential_provider_free(provider);
}

static void each_source(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        clean_environment();
        write_tokens();
        home_file(".aws/credentials", rows[i].credentials);
        home_file(".aws/config", rows[i].config);
        set_variables(rows[i].env, COUNT_OF(rows[i].env));
        for (size_t t = 0; t < COUNT_OF(rows[i].tell) && rows[i].tell[t]; t++) {
            assert_string_equal(tell(rows[i].tell[t]), "ok");
        }
        expect_row(&rows[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_source),
    };
    return cmocka_run_group_tests(tests, set_up_fake, tear_down);
}
