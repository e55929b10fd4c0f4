/*
 * location.c - where a snapshot is.
 *
 * `DIR`, `DIR/_CURRENT`, `file:///dir`, `file:///dir/_CURRENT`, `s3://bucket/prefix` and
 * `s3://bucket/prefix/_CURRENT` all work. A last segment that is a folder belongs to the prefix;
 * `_CURRENT` and any other existing plain file is the pointer; on a remote store, where looking
 * would cost a request, every name that begins with an underscore is. Plain paths become absolute
 * file URLs; nothing is percent-coded, because file URLs of the library are `file://` followed by
 * the path as it is.
 */
#include "location.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "buffer.h"
#include "memory.h"

static const char file_scheme[] = "file://";
static const char default_pointer[] = "_CURRENT";

/* Drop the last component of `path`; the root stays empty. */
static void drop_component(struct buffer *path)
{
    while (path->size > 0 && path->data[path->size - 1] != '/') {
        path->size--;
    }
    if (path->size > 0) {
        path->size--;
    }
}

/* `..` leaves the folder that the path so far really is, so symbolic links before it count. */
static void go_up(struct buffer *path)
{
    char real[PATH_MAX];

    buffer_add_byte(path, '\0');
    path->size--;
    if (realpath(path->size > 0 ? path->data : "/", real) != NULL) {
        path->size = 0;
        buffer_add_text(path, strcmp(real, "/") == 0 ? "" : real);
    }
    drop_component(path);
}

/* Absolute form of a path, without `.`, `..`, double and trailing slashes. */
static char *absolute_path(const char *text)
{
    struct buffer path = {0};
    char folder[PATH_MAX];
    char *result;

    if (text[0] != '/' && getcwd(folder, sizeof folder) != NULL) {
        buffer_add_text(&path, strcmp(folder, "/") == 0 ? "" : folder);
    }
    while (*text != '\0') {
        size_t size = strcspn(text, "/");

        if (size == 2 && memcmp(text, "..", 2) == 0) {
            go_up(&path);
        } else if (size > 0 && !(size == 1 && text[0] == '.')) {
            buffer_add_byte(&path, '/');
            buffer_add(&path, text, size);
        }
        text += size + (text[size] == '/');
    }
    result = path.size > 0 ? cli_copy_text(path.data, path.size) : cli_copy_text("/", 1);
    buffer_clear(&path);
    return result;
}

static bool is_kind(const char *path, mode_t kind)
{
    struct stat info;

    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == kind;
}

/* Cut the last segment of `url` off as the pointer name. The scheme and a root slash stay. */
static void split_pointer(struct location *location)
{
    char *scheme_end = strstr(location->url, "://");
    char *slash = strrchr(location->url, '/');
    char *pointer = cli_copy_text(slash + 1, strlen(slash + 1));

    if (strcmp(pointer, default_pointer) == 0) {
        cli_free(pointer);
    } else {
        location->current_name = pointer;
    }
    slash[slash == scheme_end + 3 ? 1 : 0] = '\0';
}

static bool last_segment_is(const char *url, const char *name)
{
    const char *slash = strrchr(url, '/');

    return slash != NULL && strcmp(slash + 1, name) == 0;
}

bool location_resolve(const char *text, struct location *location, const char **problem)
{
    const char *scheme_end = strstr(text, "://");
    bool is_file = scheme_end == NULL || strncmp(text, file_scheme, strlen(file_scheme)) == 0;
    char *path = NULL;
    bool pointer;

    *location = (struct location){NULL, NULL};
    if (!is_file) {
        size_t size = strlen(text);

        while (size > (size_t)(scheme_end + 3 - text) && text[size - 1] == '/') {
            size--;
        }
        location->url = cli_copy_text(text, size);
        if (strrchr(location->url, '/')[1] == '_' &&
            location->url + (scheme_end + 3 - text) != strrchr(location->url, '/') + 1) {
            split_pointer(location);
        }
        return true;
    }
    if (scheme_end != NULL && scheme_end[3] != '/') {
        *problem = "a file URL is file:// and an absolute path, as in file:///dir";
        return false;
    }
    path = absolute_path(scheme_end != NULL ? scheme_end + 3 : text);
    pointer = !is_kind(path, S_IFDIR) &&
              (last_segment_is(path, default_pointer) || is_kind(path, S_IFREG));
    location->url = cli_format("%s%s", file_scheme, path);
    cli_free(path);
    if (pointer) {
        split_pointer(location);
    }
    return true;
}

void location_clear(struct location *location)
{
    cli_free(location->url);
    cli_free(location->current_name);
    *location = (struct location){NULL, NULL};
}
