/*
 * remote_damage.h - damaged databases and sidecars read over the played network. Whatever the
 * damage, every lookup ends with an error or an answer after a bounded number of waves, and a row
 * none of whose pages was changed is never missing or wrong.
 */
#ifndef TESTS_REMOTE_DAMAGE_H
#define TESTS_REMOTE_DAMAGE_H

#include "remote_sample.h"

#include "shard_sample.h"

/* How a damaged file is read: bits of a number. */
enum {
    DAMAGE_HINT = 1,
    DAMAGE_SIDECAR = 2,
    DAMAGE_TINY = 4,
    DAMAGE_EVICT = 8,
    DAMAGE_SINGLY = 16,
    DAMAGE_MODES = 32
};

struct damage_outcome {
    size_t right;
    size_t failed;
    size_t other; /* wrong or absent, which a damaged page explains */
    size_t scanned;
};

/* One lookup or a batch of all; what each came to. */
static inline void damage_get(const struct sample *s, struct remote_net *net, size_t first,
                              size_t count, const uint8_t *damaged, struct damage_outcome *outcome)
{
    static uint8_t want[SAMPLE_VALUE_MAX];
    struct sfi_lookup *lookups = calloc(count, sizeof *lookups);
    uint8_t *keys = malloc(count * SAMPLE_KEY_MAX);
    sample_require(lookups && keys, "memory");
    for (size_t i = 0; i < count; i++) {
        lookups[i].shard = net->shard;
        lookups[i].key = keys + i * SAMPLE_KEY_MAX;
        lookups[i].key_size = sample_key(s, first + i, keys + i * SAMPLE_KEY_MAX);
        lookups[i].prefix = sfi_key_prefix(lookups[i].key, lookups[i].key_size);
    }
    shardy_status st = remote_lookup(net, lookups, count, NULL);
    for (size_t i = 0; i < count; i++) {
        uint32_t size = sample_value(s, first + i, want);
        bool right = lookups[i].finished && lookups[i].value && lookups[i].value_size == size &&
                     memcmp(lookups[i].value, want, size) == 0;
        sample_require(st != SHARDY_OK || lookups[i].finished, "unfinished without error");
        if (lookups[i].finished && !right) {
            sample_require(!sample_path_whole(s, first + i, damaged),
                           "wrong answer from whole pages");
        }
        outcome->right += right;
        outcome->failed += !lookups[i].finished;
        outcome->other += lookups[i].finished && !right;
        sfi_free(lookups[i].copy);
    }
    free(lookups);
    free(keys);
}

/* Rows to the end, or to an error; a scan that outlives the file is a hang. */
static inline void damage_scan(struct remote_net *net, struct damage_outcome *outcome)
{
    struct sfi_shard_cursor *cursor = NULL;
    struct sfi_bytes start = {NULL, 0};
    struct sfi_row rows[5];
    shardy_status st = SHARDY_OK;
    size_t count = 1;
    while (st == SHARDY_OK && count) {
        bool missing = false;
        bool sought = cursor != NULL;
        if (!sought) {
            st = sfi_remote_seek(net->shard, start, &cursor, &net->wants, &missing, NULL);
        } else {
            st = sfi_remote_next(cursor, rows, 5, &count, &net->wants, &missing, NULL);
        }
        if (st == SHARDY_OK && missing) {
            st = remote_wave(net, NULL);
            count = 1;
            continue;
        }
        for (size_t i = 0; st == SHARDY_OK && sought && i < count; i++) {
            volatile uint8_t touch = rows[i].key_size ? rows[i].key[rows[i].key_size - 1] : 0;
            touch = rows[i].value_size ? rows[i].value[rows[i].value_size - 1] : touch;
            (void)touch;
            outcome->scanned++;
        }
        sample_require(outcome->scanned <= net->file->size, "a scan that does not end");
    }
    sfi_wants_clear(&net->wants);
    sfi_remote_cursor_free(cursor);
}

/* Read every row of a damaged image, with the sidecar of the good one or a damaged one. */
static inline struct damage_outcome damage_try(const struct sample *s, const uint8_t *image,
                                               const uint8_t *sidecar, size_t sidecar_size,
                                               unsigned mode)
{
    struct damage_outcome outcome = {0};
    struct remote_net net;
    struct remote_file file = {.size = s->size, .tail_pages = 1 + mode % 3};
    uint8_t *damaged = sample_damage(s, image, s->size);
    file.shape.name = "damaged";
    file.shape.page_size = s->page_size;
    file.image = (uint8_t *)(uintptr_t)image;
    file.sidecar = (uint8_t *)(uintptr_t)sidecar;
    file.sidecar_size = sidecar_size;
    remote_open(&net, &file,
                mode & DAMAGE_HINT      ? REMOTE_HINT
                : mode & DAMAGE_SIDECAR ? REMOTE_SIDECAR
                                        : REMOTE_NO_HINT);
    net.tiny = (mode & DAMAGE_TINY) != 0;
    net.evict = (mode & DAMAGE_EVICT) != 0;
    net.most_waves = 20000 + 100 * s->rows;
    if (mode & DAMAGE_SINGLY) {
        for (size_t row = 0; row < s->rows; row++) {
            damage_get(s, &net, row, 1, damaged, &outcome);
        }
    } else if (s->rows) {
        damage_get(s, &net, 0, s->rows, damaged, &outcome);
    }
    damage_scan(&net, &outcome);
    remote_close_net(&net);
    free(damaged);
    return outcome;
}

#endif
