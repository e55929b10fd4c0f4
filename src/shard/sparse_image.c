/*
 * sparse_image.c - a sparse image over reserved anonymous memory: filling a granule makes the
 * kernel find pages for it, MADV_DONTNEED gives them back. Under AddressSanitizer empty granules
 * are poisoned, so that a test finds whoever reads what nobody fetched.
 */
#include "shard/sparse_image.h"

#include "base/memory.h"
#include "shard/remote.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POISON 1
#endif
#endif
#ifdef POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size)   ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

/* Granules whose residents are counted together: 1 MiB. */
#define GROUP 256u

static size_t granule_of(uint64_t offset)
{
    return (size_t)(offset / SFI_GRANULE);
}

/* Bytes of the file in granule `g`: the last one may be short. */
static uint64_t granule_bytes(const struct sfi_sparse_image *image, size_t g)
{
    uint64_t at = (uint64_t)g * SFI_GRANULE;
    return image->size - at < SFI_GRANULE ? image->size - at : SFI_GRANULE;
}

static unsigned load(const struct sfi_sparse_image *image, size_t g)
{
    return atomic_load_explicit(&image->state[g], memory_order_relaxed);
}

static void store(const struct sfi_sparse_image *image, size_t g, unsigned state)
{
    atomic_store_explicit(&image->state[g], (unsigned char)state, memory_order_relaxed);
}

shardy_status sfi_sparse_image_init(struct sfi_sparse_image *image, uint64_t size, const char *name,
                                    shardy_error *err)
{
    memset(image, 0, sizeof *image);
    long system_page = sysconf(_SC_PAGESIZE);
    image->unit = system_page > (long)SFI_GRANULE ? (size_t)system_page / SFI_GRANULE : 1;
    uint64_t unit = (uint64_t)image->unit * SFI_GRANULE;
    image->size = size;
    uint64_t reserved = size > SIZE_MAX - unit ? 0 : (size + unit - 1) / unit * unit;
    void *at = MAP_FAILED;
    if (reserved) {
        at = mmap(NULL, (size_t)reserved, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (at == MAP_FAILED) {
        return sfi_fail_errno(err, SHARDY_NO_MEMORY, reserved ? errno : 0,
                              "%s: no address space for %llu bytes; raise RLIMIT_AS or use the "
                              "download mode",
                              name, (unsigned long long)size);
    }
    image->data = at;
    image->reserved = (size_t)reserved;
    image->granules = granule_of(reserved);
    /* Huge pages would make 2 MiB resident for each granule. */
    (void)madvise(at, image->reserved, MADV_NOHUGEPAGE);
    ASAN_POISON_MEMORY_REGION(image->data, image->reserved);
    image->state = sfi_calloc(image->granules, sizeof *image->state);
    image->filled = sfi_calloc(image->granules / GROUP + 1, sizeof *image->filled);
    if (!image->state || !image->filled) {
        sfi_sparse_image_clear(image);
        return sfi_fail_memory(err, granule_of(reserved));
    }
    return SHARDY_OK;
}

void sfi_sparse_image_clear(struct sfi_sparse_image *image)
{
    if (image->data) {
        ASAN_UNPOISON_MEMORY_REGION(image->data, image->reserved);
        (void)munmap(image->data, image->reserved);
    }
    sfi_free(image->state);
    sfi_free(image->filled);
    memset(image, 0, sizeof *image);
}

bool sfi_sparse_image_has(const struct sfi_sparse_image *image, uint64_t offset, uint64_t size,
                          unsigned use)
{
    size_t first = granule_of(offset);
    size_t last = granule_of(offset + size - 1);
    for (size_t g = first; g <= last; g++) {
        if (!load(image, g)) {
            return false;
        }
    }
    for (size_t g = first; g <= last; g++) {
        unsigned state = load(image, g);
        if ((state & SFI_GRANULE_USE) < use) {
            store(image, g, (state & ~SFI_GRANULE_USE) | use);
        }
    }
    return true;
}

bool sfi_sparse_image_missing(const struct sfi_sparse_image *image, uint64_t offset, uint64_t size,
                              uint64_t *from, uint64_t *length)
{
    size_t first = granule_of(offset);
    size_t last = granule_of(offset + size - 1);
    while (first <= last && load(image, first)) {
        first++;
    }
    if (first > last) {
        return false;
    }
    while (load(image, last)) {
        last--;
    }
    *from = (uint64_t)first * SFI_GRANULE;
    *length = (uint64_t)last * SFI_GRANULE + granule_bytes(image, last) - *from;
    return true;
}

uint64_t sfi_sparse_image_fill(struct sfi_sparse_image *image, uint64_t offset,
                               struct sfi_bytes bytes, unsigned flags)
{
    uint64_t added = 0;
    uint64_t at = 0;
    while (offset + at < image->size) {
        size_t g = granule_of(offset + at);
        uint64_t n = granule_bytes(image, g);
        if (bytes.size - at < n) {
            break;
        }
        if (!load(image, g)) {
            uint8_t *to = image->data + offset + at;
            ASAN_UNPOISON_MEMORY_REGION(to, n);
            memcpy(to, bytes.data + at, (size_t)n);
            store(image, g, SFI_GRANULE_RESIDENT | flags | SFI_USE_FILLED);
            image->filled[g / GROUP]++;
            added += n;
        }
        at += n;
    }
    atomic_fetch_add_explicit(&image->resident, added, memory_order_relaxed);
    return added;
}

/* Give the memory of `count` granules back, all of which are whole units of the kernel. */
static uint64_t empty(struct sfi_sparse_image *image, size_t first, size_t count)
{
    uint64_t freed = 0;
    for (size_t g = first; g < first + count; g++) {
        if (load(image, g)) {
            freed += granule_bytes(image, g);
            image->filled[g / GROUP]--;
            store(image, g, 0);
        }
    }
    uint8_t *at = image->data + (uint64_t)first * SFI_GRANULE;
    (void)madvise(at, count * SFI_GRANULE, MADV_DONTNEED);
    ASAN_POISON_MEMORY_REGION(at, count * SFI_GRANULE);
    atomic_fetch_sub_explicit(&image->resident, freed, memory_order_relaxed);
    return freed;
}

/* The clock passes one unit: true when it holds something that nobody used lately. */
static bool pass(struct sfi_sparse_image *image, size_t first)
{
    bool resident = false;
    bool used = false;
    for (size_t g = first; g < first + image->unit; g++) {
        unsigned state = load(image, g);
        resident |= state != 0;
        if (state & SFI_GRANULE_USE) {
            used = true;
            store(image, g, state - 1);
        }
    }
    return resident && !used;
}

uint64_t sfi_sparse_image_sweep(struct sfi_sparse_image *image, uint64_t bytes)
{
    uint64_t freed = 0;
    size_t run = 0; /* granules before the hand that are to be emptied */
    size_t g = image->hand;
    size_t steps = 0;
    while (steps < image->granules && freed + (uint64_t)run * SFI_GRANULE < bytes) {
        size_t step = image->unit;
        bool victim = false;
        if (g % GROUP == 0 && image->unit <= GROUP && !image->filled[g / GROUP]) {
            step = image->granules - g < GROUP ? image->granules - g : GROUP;
        } else {
            victim = pass(image, g);
        }
        if (victim) {
            run += step;
        } else if (run) {
            freed += empty(image, g - run, run);
            run = 0;
        }
        g += step;
        steps += step;
        if (g >= image->granules) {
            freed += run ? empty(image, g - run, run) : 0;
            run = 0;
            g = 0;
        }
    }
    freed += run ? empty(image, g - run, run) : 0;
    image->hand = g;
    return freed;
}

void sfi_sparse_image_drop(struct sfi_sparse_image *image, unsigned flag)
{
    for (size_t g = 0; g < image->granules; g += image->unit) {
        bool carries = false;
        for (size_t i = g; i < g + image->unit; i++) {
            carries |= (load(image, i) & flag) != 0;
        }
        if (carries) {
            (void)empty(image, g, image->unit);
        }
    }
}
