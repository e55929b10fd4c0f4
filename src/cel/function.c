/*
 * function.c - one table of all functions, found by name, and the call that picks an overload by
 * the kinds of its arguments.
 *
 * The libraries' arrays are indexed once for the process: an expression of 200 characters has some
 * thirty calls, and comparing each of them with every name would take longer than all the rest of
 * its compilation.
 */
#include "cel/function.h"

#include <pthread.h>

const struct sfi_cel_type sfi_cel_sig_a = {SFI_CEL_TYPE_PARAM, 0, {NULL}};
const struct sfi_cel_type sfi_cel_sig_b = {SFI_CEL_TYPE_PARAM, 1, {NULL}};
const struct sfi_cel_type sfi_cel_sig_list_a = {SFI_CEL_TYPE_LIST, 0, {&sfi_cel_sig_a}};
const struct sfi_cel_type sfi_cel_sig_map_ab = {
    SFI_CEL_TYPE_MAP, 0, {&sfi_cel_sig_a, &sfi_cel_sig_b}};
const struct sfi_cel_type sfi_cel_sig_optional_a = {SFI_CEL_TYPE_OPTIONAL, 0, {&sfi_cel_sig_a}};
const struct sfi_cel_type sfi_cel_sig_type_a = {SFI_CEL_TYPE_TYPE, 0, {&sfi_cel_sig_a}};
const struct sfi_cel_type sfi_cel_sig_list_int = {SFI_CEL_TYPE_LIST, 0, {&sfi_cel_type_int}};
const struct sfi_cel_type sfi_cel_sig_list_uint = {SFI_CEL_TYPE_LIST, 0, {&sfi_cel_type_uint}};
const struct sfi_cel_type sfi_cel_sig_list_double = {SFI_CEL_TYPE_LIST, 0, {&sfi_cel_type_double}};
const struct sfi_cel_type sfi_cel_sig_list_string = {SFI_CEL_TYPE_LIST, 0, {&sfi_cel_type_string}};

static const struct sfi_cel_library *const libraries[] = {
    &sfi_cel_lib_arithmetic, &sfi_cel_lib_compare,  &sfi_cel_lib_container, &sfi_cel_lib_convert,
    &sfi_cel_lib_text,       &sfi_cel_lib_time,     &sfi_cel_lib_hash,      &sfi_cel_lib_strings,
    &sfi_cel_lib_math,       &sfi_cel_lib_encoders, &sfi_cel_lib_optional,  &sfi_cel_lib_network,
};

/* Open addressing; there are about 150 names. Full is impossible: see add_function(). */
#define SLOTS 1024u

struct function_slot {
    const struct sfi_cel_overload *first;
    const struct sfi_cel_library *library;
    uint32_t count;
    uint32_t size; /* of the name */
};

static pthread_once_t s_once = PTHREAD_ONCE_INIT;
static struct function_slot s_slots[SLOTS]; /* written once, then only read */
static uint32_t s_used;

static uint32_t hash_name(const char *text, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    }
    return hash ^ hash >> 15;
}

/* The slot of a name, or the empty one where it would go. */
static struct function_slot *find_slot(const char *text, size_t size)
{
    uint32_t at = hash_name(text, size) % SLOTS;
    while (s_slots[at].first != NULL &&
           (s_slots[at].size != size || memcmp(s_slots[at].first->function, text, size) != 0)) {
        at = (at + 1) % SLOTS;
    }
    return &s_slots[at];
}

/* Overloads of a function stand together; a name that comes again later is left out. */
static void add_function(const struct sfi_cel_library *library,
                         const struct sfi_cel_overload *first, uint32_t count)
{
    size_t size = strlen(first->function);
    struct function_slot *slot = find_slot(first->function, size);
    if (slot->first == NULL && s_used < SLOTS / 2) {
        *slot = (struct function_slot){first, library, count, (uint32_t)size};
        s_used++;
    }
}

static void index_functions(void)
{
    for (size_t i = 0; i < sizeof libraries / sizeof libraries[0]; i++) {
        const struct sfi_cel_overload *all = libraries[i]->overloads;
        size_t start = 0;
        for (size_t j = 1; j <= libraries[i]->count; j++) {
            if (j == libraries[i]->count || strcmp(all[j].function, all[start].function) != 0) {
                add_function(libraries[i], &all[start], (uint32_t)(j - start));
                start = j;
            }
        }
    }
}

const struct sfi_cel_overload *sfi_cel_find_function(struct sfi_cel_name name, size_t *count,
                                                     const struct sfi_cel_library **library)
{
    pthread_once(&s_once, index_functions);
    const struct function_slot *slot = find_slot(name.text, name.size);
    *count = slot->count;
    if (library != NULL) {
        *library = slot->library;
    }
    return slot->first;
}

const struct sfi_cel_overload *sfi_cel_function_at(size_t index)
{
    pthread_once(&s_once, index_functions);
    for (size_t i = 0; i < SLOTS; i++) {
        if (s_slots[i].first != NULL && index-- == 0) {
            return s_slots[i].first;
        }
    }
    return NULL;
}

const char *sfi_cel_function_text(const char *function)
{
    static const char *const texts[][2] = {
        {"_+_", "+"},
        {"_-_", "-"},
        {"_*_", "*"},
        {"_/_", "/"},
        {"_%_", "%"},
        {"-_", "-"},
        {"!_", "!"},
        {"_==_", "=="},
        {"_!=_", "!="},
        {"_<_", "<"},
        {"_<=_", "<="},
        {"_>_", ">"},
        {"_>=_", ">="},
        {"_&&_", "&&"},
        {"_||_", "||"},
        {"_?_:_", "? :"},
        {"_[_]", "[]"},
        {"_[?_]", "[?]"},
        {"@in", "in"},
        {"math.@max", "math.greatest"},
        {"math.@min", "math.least"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (strcmp(function, texts[i][0]) == 0) {
            return texts[i][1];
        }
    }
    return function;
}

static bool takes(const struct sfi_cel_overload *overload, const struct sfi_cel_value *args,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (overload->args[i] == NULL || !sfi_cel_value_fits(args[i], overload->args[i])) {
            return false;
        }
    }
    return count == SFI_CEL_ARGS_MAX || overload->args[count] == NULL;
}

struct sfi_cel_value sfi_cel_dispatch(struct sfi_cel_frame *frame,
                                      const struct sfi_cel_overload *const *overloads, size_t count,
                                      const struct sfi_cel_value *args, size_t arg_count)
{
    for (size_t i = 0; i < arg_count; i++) {
        if (sfi_cel_is_error(args[i])) {
            return args[i];
        }
    }
    if (arg_count <= SFI_CEL_ARGS_MAX) {
        for (size_t i = 0; i < count; i++) {
            if (overloads[i]->call != NULL && takes(overloads[i], args, arg_count)) {
                return overloads[i]->call(frame, args);
            }
        }
    }
    return sfi_cel_fail_overload(frame, count > 0 ? overloads[0]->function : "", args, arg_count);
}
