/*
 * tokens.c - the table of routing values: open addressing, at most half full, so that a search ends
 * at a free slot. Rules and texts of errors: spec 04 A7.1; 07 18.3.
 */
#include "routing/tokens.h"

#include "base/limits.h"
#include "base/memory.h"
#include "key/key.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SLOTS_FIRST 16u

static bool is_text(const shardy_cel_value *value)
{
    return value->kind == SHARDY_CEL_STRING || value->kind == SHARDY_CEL_BYTES;
}

/* int and uint are one type, as in Python. */
static shardy_cel_kind type_of(const shardy_cel_value *value)
{
    return value->kind == SHARDY_CEL_UINT ? SHARDY_CEL_INT : value->kind;
}

static bool is_huge(const shardy_cel_value *value)
{
    return value->kind == SHARDY_CEL_UINT && value->natural > INT64_MAX;
}

static const char *python_name(shardy_cel_kind kind)
{
    switch (kind) {
    case SHARDY_CEL_NULL:
        return "NoneType";
    case SHARDY_CEL_BOOL:
        return "bool";
    case SHARDY_CEL_INT:
    case SHARDY_CEL_UINT:
        return "int";
    case SHARDY_CEL_DOUBLE:
        return "float";
    case SHARDY_CEL_STRING:
        return "str";
    case SHARDY_CEL_BYTES:
        return "bytes";
    case SHARDY_CEL_TIMESTAMP:
        return "datetime";
    case SHARDY_CEL_DURATION:
        return "timedelta";
    default:
        return "object";
    }
}

void sfi_token_text(const shardy_cel_value *value, char out[SFI_TOKEN_TEXT_SIZE])
{
    const uint8_t *text = value->text;
    size_t at = 0;
    if (value->kind == SHARDY_CEL_INT) {
        (void)snprintf(out, SFI_TOKEN_TEXT_SIZE, "%" PRId64, value->integer);
        return;
    }
    if (value->kind == SHARDY_CEL_UINT) {
        (void)snprintf(out, SFI_TOKEN_TEXT_SIZE, "%" PRIu64, value->natural);
        return;
    }
    if (!is_text(value)) {
        (void)snprintf(out, SFI_TOKEN_TEXT_SIZE, "%s", python_name(value->kind));
        return;
    }
    bool is_bytes = value->kind == SHARDY_CEL_BYTES;
    bool plain = !is_bytes && sfi_utf8_valid(text, value->size);
    at += (size_t)snprintf(out, SFI_TOKEN_TEXT_SIZE, is_bytes ? "b'" : "'");
    size_t i = 0;
    for (; i < value->size && at < SFI_TOKEN_TEXT_SIZE - 16; i++) {
        bool as_is = (text[i] >= 0x20 && text[i] < 0x7F && text[i] != '\'' && text[i] != '\\') ||
                     (plain && text[i] >= 0x80);
        at +=
            (size_t)snprintf(out + at, SFI_TOKEN_TEXT_SIZE - at, as_is ? "%c" : "\\x%02x", text[i]);
    }
    while (plain && i < value->size && (text[i] & 0xC0) == 0x80) { /* to the end of a character */
        out[at++] = (char)text[i++];
    }
    (void)snprintf(out + at, SFI_TOKEN_TEXT_SIZE - at, i < value->size ? "...'" : "'");
}

/* --- rules ------------------------------------------------------------------------------------ */

static shardy_status check_kinds(const shardy_cel_value *values, size_t count, shardy_error *err)
{
    char text[2][SFI_TOKEN_TEXT_SIZE];
    for (size_t i = 0; i < count; i++) {
        if (values[i].kind == SHARDY_CEL_NULL) {
            return sfi_fail(err, SHARDY_CONFIG, "Routing values must not contain null values");
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (values[i].kind == SHARDY_CEL_BOOL) {
            return sfi_fail(err, SHARDY_CONFIG, "Routing values must not be boolean values");
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (values[i].kind != SHARDY_CEL_INT && values[i].kind != SHARDY_CEL_UINT &&
            !is_text(&values[i])) {
            return sfi_fail(err, SHARDY_CONFIG,
                            "Routing values must be int, str, or bytes values; got a %s at index "
                            "%zu",
                            python_name(values[i].kind), i);
        }
    }
    for (size_t i = 1; i < count; i++) {
        if (type_of(&values[i]) != type_of(&values[i - 1])) {
            sfi_token_text(&values[i - 1], text[0]);
            sfi_token_text(&values[i], text[1]);
            return sfi_fail(err, SHARDY_CONFIG,
                            "Routing values must all share the same type; got %s at index %zu and "
                            "%s at index %zu",
                            text[0], i - 1, text[1], i);
        }
    }
    return SHARDY_OK;
}

shardy_status sfi_tokens_check(const shardy_cel_value *values, size_t count, shardy_error *err)
{
    struct sfi_tokens seen = {0};
    shardy_status st;
    char text[SFI_TOKEN_TEXT_SIZE];
    if (count > SFI_SHARDS_MAX || (count > 0 && values == NULL)) {
        return sfi_fail(err, SHARDY_CONFIG, "%zu routing values: at most %u, and not NULL", count,
                        SFI_SHARDS_MAX);
    }
    SFI_TRY(check_kinds(values, count, err));
    for (size_t i = 0; i < count; i++) {
        uint32_t id;
        SFI_TRY(sfi_tokens_add(&seen, &values[i], &id, err));
        if (id != i) {
            sfi_token_text(&values[i], text);
            st = sfi_fail(err, SHARDY_CONFIG,
                          "Routing values must be unique; %s is repeated at index %zu", text, i);
            goto out;
        }
    }
out:
    sfi_tokens_clear(&seen);
    return st;
}

/* --- the table -------------------------------------------------------------------------------- */

static uint64_t hash_of(const shardy_cel_value *value)
{
    return is_text(value) ? sfi_digest_bytes(value->text, value->size) : value->natural;
}

static uint64_t start_of(const struct sfi_tokens *tokens, uint64_t hash)
{
    return tokens->kind == SHARDY_CEL_INT ? sfi_token_mix(hash) >> 32 : hash;
}

static void place(struct sfi_tokens *tokens, uint32_t id)
{
    struct sfi_token_slot slot = {hash_of(&tokens->values[id]), id + 1,
                                  is_huge(&tokens->values[id])};
    uint64_t at = start_of(tokens, slot.hash);
    while (tokens->slots[at & tokens->mask].id != 0) {
        at++;
    }
    tokens->slots[at & tokens->mask] = slot;
}

static void place_all(struct sfi_tokens *tokens)
{
    memset(tokens->slots, 0, (size_t)(tokens->mask + 1) * sizeof *tokens->slots);
    for (uint32_t id = 0; id < tokens->count; id++) {
        place(tokens, id);
    }
}

static shardy_status make_room(struct sfi_tokens *tokens, shardy_error *err)
{
    void *values = tokens->values;
    if (!sfi_array_grow(&values, &tokens->capacity, (size_t)tokens->count + 1,
                        sizeof *tokens->values)) {
        return sfi_fail_memory(err, sizeof *tokens->values * ((size_t)tokens->count + 1));
    }
    tokens->values = values;
    size_t slots = tokens->slots != NULL ? (size_t)tokens->mask + 1 : 0;
    if (((size_t)tokens->count + 1) * 2 > slots) {
        size_t more = slots > 0 ? slots * 2 : SLOTS_FIRST;
        struct sfi_token_slot *grown = sfi_array_alloc(more, sizeof *grown);
        if (grown == NULL) {
            return sfi_fail_memory(err, more * sizeof *grown);
        }
        sfi_free(tokens->slots);
        tokens->slots = grown;
        tokens->mask = more - 1;
        place_all(tokens);
    }
    return SHARDY_OK;
}

static uint32_t find(const struct sfi_tokens *tokens, const shardy_cel_value *value)
{
    return is_text(value)
               ? sfi_tokens_find_text(tokens, value->kind, hash_of(value), value->text, value->size)
               : sfi_tokens_find_int(tokens, value->natural, is_huge(value));
}

shardy_status sfi_tokens_add(struct sfi_tokens *tokens, const shardy_cel_value *value, uint32_t *id,
                             shardy_error *err)
{
    char text[2][SFI_TOKEN_TEXT_SIZE];
    *id = SFI_TOKEN_NONE;
    if (tokens->count > 0 && tokens->kind != type_of(value)) {
        sfi_token_text(&tokens->values[0], text[0]);
        sfi_token_text(value, text[1]);
        return sfi_fail(err, SHARDY_CONFIG,
                        "Routing values must all share the same type; got %s and %s", text[0],
                        text[1]);
    }
    if (tokens->count > 0) {
        *id = find(tokens, value);
    }
    if (*id != SFI_TOKEN_NONE) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(make_room(tokens, err));
    shardy_cel_value copy = *value;
    if (is_text(value)) {
        char *own = sfi_malloc(value->size);
        if (own == NULL) {
            return sfi_fail_memory(err, value->size);
        }
        if (value->size > 0) {
            memcpy(own, value->text, value->size);
        }
        copy.text = own;
        tokens->text_bytes += value->size;
    }
    tokens->kind = type_of(value);
    *id = tokens->count;
    tokens->values[tokens->count++] = copy;
    place(tokens, *id);
    return SHARDY_OK;
}

void sfi_tokens_truncate(struct sfi_tokens *tokens, uint32_t count)
{
    for (uint32_t i = count; i < tokens->count; i++) {
        if (is_text(&tokens->values[i])) {
            tokens->text_bytes -= tokens->values[i].size;
            sfi_free((void *)(uintptr_t)tokens->values[i].text);
        }
    }
    if (count < tokens->count) {
        tokens->count = count;
        place_all(tokens);
        tokens->kind = count == 0 ? SHARDY_CEL_NULL : tokens->kind;
    }
}

void sfi_tokens_clear(struct sfi_tokens *tokens)
{
    sfi_tokens_truncate(tokens, 0);
    sfi_free(tokens->values);
    sfi_free(tokens->slots);
    memset(tokens, 0, sizeof *tokens);
}

/* --- order ------------------------------------------------------------------------------------ */

struct ranked {
    const shardy_cel_value *value;
    uint32_t id;
};

static int compare(const void *left, const void *right)
{
    const shardy_cel_value *a = ((const struct ranked *)left)->value;
    const shardy_cel_value *b = ((const struct ranked *)right)->value;
    if (is_text(a)) {
        struct sfi_bytes x = {a->text, a->size};
        struct sfi_bytes y = {b->text, b->size};
        return sfi_bytes_compare(x, y);
    }
    if (is_huge(a) || is_huge(b)) {
        return is_huge(a) != is_huge(b) ? (is_huge(a) ? 1 : -1)
                                        : (a->natural > b->natural) - (a->natural < b->natural);
    }
    return (a->integer > b->integer) - (a->integer < b->integer);
}

uint32_t *sfi_tokens_order(const struct sfi_tokens *tokens)
{
    struct ranked *ranked = sfi_array_alloc(tokens->count, sizeof *ranked);
    uint32_t *order = sfi_array_alloc(tokens->count, sizeof *order);
    if (ranked == NULL || order == NULL) {
        sfi_free(ranked);
        sfi_free(order);
        return NULL;
    }
    for (uint32_t i = 0; i < tokens->count; i++) {
        ranked[i] = (struct ranked){&tokens->values[i], i};
    }
    qsort(ranked, tokens->count, sizeof *ranked, compare);
    for (uint32_t i = 0; i < tokens->count; i++) {
        order[i] = ranked[i].id;
    }
    sfi_free(ranked);
    return order;
}

shardy_status sfi_tokens_reorder(struct sfi_tokens *tokens, const uint32_t *order,
                                 shardy_error *err)
{
    shardy_cel_value *values = sfi_array_alloc(tokens->count, sizeof *values);
    if (values == NULL) {
        return sfi_fail_memory(err, tokens->count * sizeof *values);
    }
    for (uint32_t i = 0; i < tokens->count; i++) {
        values[i] = tokens->values[order[i]];
    }
    sfi_free(tokens->values);
    tokens->values = values;
    tokens->capacity = tokens->count;
    if (tokens->count > 0) {
        place_all(tokens);
    }
    return SHARDY_OK;
}
