/*
 * options.h - option structs of the public API that grow from release to release.
 */
#ifndef SFI_BASE_OPTIONS_H
#define SFI_BASE_OPTIONS_H

#include "base/status.h"

/*
 * Copy the caller's struct, whose first member is its size_t struct_size, as this library knows it:
 * members its headers did not have become zero. CONFIG when struct_size is below `least`, the
 * offset behind the last member of the first release; `init` names the initialiser.
 */
shardy_status sfi_options_take(const void *from, size_t least, void *to, size_t size,
                               const char *init, shardy_error *err);

#endif
