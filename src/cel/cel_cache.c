/*
 * cel_cache.c - compilations of the whole process, by expression and columns, so that a refresh or
 * another reader of the same rule compiles nothing. The least recently used one is dropped; whoever
 * uses it keeps it. Failures are not kept.
 */
#include "cel/cel.h"

#include "base/fork.h"
#include "base/limits.h"
#include "base/memory.h"

struct entry {
    shardy_cel *cel; /* counted; NULL = free */
    uint64_t used;
};

static struct {
    struct sfi_mutex lock;
    uint64_t clock;
    struct entry entries[SFI_CEL_CACHE_ENTRIES];
} s_cache = {.lock = {.lock = PTHREAD_MUTEX_INITIALIZER}};

/* Columns in any order are the same environment, but a program numbers them as they were given. */
static bool matches(const shardy_cel *cel, const shardy_cel_options *options)
{
    if (strcmp(cel->expression, options->expression) != 0 ||
        cel->column_count != options->column_count) {
        return false;
    }
    for (size_t i = 0; i < cel->column_count; i++) {
        const shardy_cel_column *column = &options->columns[i];
        if (column->name == NULL || column->type == NULL ||
            strcmp(cel->columns[i].name, column->name) != 0 ||
            strcmp(cel->columns[i].type, column->type) != 0) {
            return false;
        }
    }
    return true;
}

static shardy_cel *find(const shardy_cel_options *options)
{
    for (size_t i = 0; i < SFI_CEL_CACHE_ENTRIES; i++) {
        struct entry *entry = &s_cache.entries[i];
        if (entry->cel != NULL && matches(entry->cel, options)) {
            entry->used = ++s_cache.clock;
            return sfi_cel_acquire(entry->cel);
        }
    }
    return NULL;
}

/* Returns what must be released, outside the lock. */
static shardy_cel *keep(shardy_cel *cel)
{
    struct entry *oldest = &s_cache.entries[0];
    for (size_t i = 1; i < SFI_CEL_CACHE_ENTRIES; i++) {
        struct entry *entry = &s_cache.entries[i];
        if (entry->used < oldest->used) {
            oldest = entry;
        }
    }
    shardy_cel *dropped = oldest->cel;
    oldest->cel = sfi_cel_acquire(cel);
    oldest->used = ++s_cache.clock;
    return dropped;
}

shardy_status sfi_cel_compile_cached(const shardy_cel_options *options, shardy_cel **cel,
                                     shardy_error *err)
{
    shardy_cel *dropped = NULL;
    bool usable = options->expression != NULL && options->container == NULL &&
                  (options->columns != NULL || options->column_count == 0);
    (void)sfi_mutex_lock(&s_cache.lock);
    *cel = usable ? find(options) : NULL;
    sfi_mutex_unlock(&s_cache.lock);
    if (*cel != NULL) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(shardy_cel_compile(options, cel, err));
    if (usable) {
        /* Two threads may have compiled the same: both stay right, one of them is dropped later. */
        (void)sfi_mutex_lock(&s_cache.lock);
        dropped = keep(*cel);
        sfi_mutex_unlock(&s_cache.lock);
    }
    shardy_cel_free(dropped);
    return SHARDY_OK;
}

void sfi_cel_cache_clear(void)
{
    (void)sfi_mutex_lock(&s_cache.lock);
    for (size_t i = 0; i < SFI_CEL_CACHE_ENTRIES; i++) {
        shardy_cel_free(s_cache.entries[i].cel);
        s_cache.entries[i] = (struct entry){NULL, 0};
    }
    sfi_mutex_unlock(&s_cache.lock);
}
