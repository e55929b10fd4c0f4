/*
 * options.c - option structs of the public API that grow from release to release.
 */
#include "base/options.h"

#include <string.h>

shardy_status sfi_options_take(const void *from, size_t least, void *to, size_t size,
                               const char *init, shardy_error *err)
{
    size_t known = 0;
    if (from) {
        memcpy(&known, from, sizeof known);
    }
    if (known < least) {
        return sfi_fail(err, SHARDY_CONFIG, "options.struct_size is %zu; start from %s", known,
                        init);
    }
    memset(to, 0, size);
    memcpy(to, from, known < size ? known : size);
    return SHARDY_OK;
}
