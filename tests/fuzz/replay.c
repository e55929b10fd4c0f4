/*
 * replay.c - run a fuzz target over stored inputs, without libFuzzer.
 *
 * Arguments are files and folders (not nested). Every input is replayed whole and cut off at a few
 * places, so that the corpus also covers truncation. The target's invariants are its own: a broken
 * one aborts. No input at all is a failure, for a replay of nothing proves nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CUTS 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t inputs;

static int fail(const char *path)
{
    fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    return 1;
}

/* Each run gets a block of exactly its size, so that reading past the end is seen by ASan. */
static int run_prefix(const uint8_t *data, size_t size)
{
    uint8_t *copy = calloc(size > 0 ? size : 1, 1);

    if (!copy)
        return fail("input");
    if (size > 0)
        memcpy(copy, data, size);
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

static int run_input(const uint8_t *data, size_t size)
{
    int rc = run_prefix(data, size);

    for (size_t cut = 0; cut < CUTS && rc == 0 && size > 0; cut++)
        rc = run_prefix(data, size * cut / CUTS);
    inputs++;
    return rc;
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    long size = -1;
    int rc = 1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    if (size >= 0 && fseek(file, 0, SEEK_SET) == 0)
        data = malloc((size_t)size + 1);
    if (data && fread(data, 1, (size_t)size, file) == (size_t)size)
        rc = run_input(data, (size_t)size);
    else
        rc = fail(path);
    free(data);
    if (file)
        fclose(file);
    return rc;
}

static int run_folder(const char *path)
{
    DIR *folder = opendir(path);
    const struct dirent *entry;
    char name[4096];
    int rc = 0;

    if (!folder)
        return fail(path);
    while (rc == 0 && (entry = readdir(folder))) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        rc = run_file(name);
    }
    closedir(folder);
    return rc;
}

int main(int argc, char **argv)
{
    int rc = run_prefix((const uint8_t *)"", 0);

    for (int i = 1; i < argc && rc == 0; i++) {
        struct stat info;

        if (stat(argv[i], &info) != 0)
            rc = fail(argv[i]);
        else
            rc = S_ISDIR(info.st_mode) ? run_folder(argv[i]) : run_file(argv[i]);
    }
    if (rc == 0 && inputs == 0) {
        fprintf(stderr, "replay: no inputs in the given files and folders\n");
        rc = 1;
    }
    printf("replayed %zu inputs\n", inputs);
    return rc;
}
