/*
 * s3_client.c - a plain S3 client over libcurl's easy interface and its own SigV4, so that what the
 * tests see does not depend on the code under test.
 */
#include "s3_client.h"
#include "s3_server.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct text {
    char *data;
    size_t size;
};

struct s3_client {
    CURL *curl;
    char *url;
    struct text head, body;
    const char *upload;
    size_t upload_left;
    struct s3_answer answer;
    char value[1024];
};

static void append(struct text *text, const char *bytes, size_t size)
{
    char *data = realloc(text->data, text->size + size + 1);
    if (!data) {
        abort();
    }
    memcpy(data + text->size, bytes, size);
    text->data = data;
    text->size += size;
    text->data[text->size] = '\0';
}

static size_t on_body(char *bytes, size_t size, size_t count, void *arg)
{
    append(arg, bytes, size * count);
    return size * count;
}

static size_t on_head(char *bytes, size_t size, size_t count, void *arg)
{
    struct text *head = arg;
    if (size * count > 5 && strncmp(bytes, "HTTP/", 5) == 0) {
        head->size = 0;
    }
    append(head, bytes, size * count);
    return size * count;
}

static size_t on_upload(char *out, size_t size, size_t count, void *arg)
{
    struct s3_client *client = arg;
    size_t wanted = size * count < client->upload_left ? size * count : client->upload_left;
    if (wanted > 0) {
        memcpy(out, client->upload, wanted);
        client->upload += wanted;
        client->upload_left -= wanted;
    }
    return wanted;
}

struct s3_client *s3_client_new(const char *url)
{
    struct s3_client *client = calloc(1, sizeof *client);
    if (!client) {
        abort();
    }
    client->curl = curl_easy_init();
    client->url = strdup(url);
    if (!client->curl || !client->url) {
        abort();
    }
    return client;
}

void s3_client_free(struct s3_client *client)
{
    if (client) {
        curl_easy_cleanup(client->curl);
        free(client->url);
        free(client->head.data);
        free(client->body.data);
        free(client);
    }
}

static void set_method(struct s3_client *client, const char *method, const void *body, size_t size)
{
    CURL *curl = client->curl;
    client->upload = body;
    client->upload_left = size;
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (strcmp(method, "PUT") == 0 || strcmp(method, "POST") == 0) {
        curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_upload);
        curl_easy_setopt(curl, CURLOPT_READDATA, client);
        curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)size);
    }
}

const struct s3_answer *s3_client_request(struct s3_client *client, const char *method,
                                          const char *target, const char *const *headers,
                                          const void *body, size_t body_size)
{
    char url[4096];
    long status = 0;
    CURL *curl = client->curl;
    struct curl_slist *list = curl_slist_append(NULL, "x-amz-content-sha256: UNSIGNED-PAYLOAD");
    list = curl_slist_append(list, "Expect:");
    for (size_t i = 0; headers && headers[i]; i++) {
        list = curl_slist_append(list, headers[i]);
    }
    snprintf(url, sizeof url, "%s%s", client->url, target);
    append(&client->head, "", 0);
    append(&client->body, "", 0);
    client->head.size = 0;
    client->body.size = 0;
    curl_easy_reset(curl); /* keeps the connections */
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, "aws:amz:" S3_SERVER_REGION ":s3");
    curl_easy_setopt(curl, CURLOPT_USERPWD, S3_SERVER_ACCESS_KEY ":" S3_SERVER_SECRET_KEY);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &client->body);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_head);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &client->head);
    set_method(client, method, body, body_size);
    client->answer.curl_code = (int)curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_TOTAL_TIME, &client->answer.seconds);
    curl_slist_free_all(list);
    client->answer.status = (int)status;
    append(&client->head, "", 0);
    append(&client->body, "", 0);
    client->answer.head = client->head.data;
    client->answer.body = client->body.data;
    client->answer.body_size = client->body.size;
    return &client->answer;
}

const char *s3_client_header(struct s3_client *client, const char *name)
{
    size_t size = strlen(name);
    const char *line = client->head.data;
    while (line && *line) {
        if (strncasecmp(line, name, size) == 0 && line[size] == ':') {
            line += size + 1;
            line += strspn(line, " ");
            snprintf(client->value, sizeof client->value, "%.*s", (int)strcspn(line, "\r\n"), line);
            return client->value;
        }
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    return NULL;
}
