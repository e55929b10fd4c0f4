/*
 * fuzz_pointer.c - any bytes as a _CURRENT pointer, and as JSON.
 *
 * Invariant: the parser refuses the bytes, or encoding what it returns gives a pointer that parses
 * to the same. A JSON object in canonical form stays what it is when it is written again.
 */
#include "base/json.h"
#include "base/limits.h"
#include "base/memory.h"
#include "manifest/manifest.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void check_pointer(struct sfi_bytes text)
{
    struct sfi_pointer first;
    struct sfi_pointer second;
    struct sfi_buf out;
    if (sfi_pointer_parse(text, &first, NULL) != SHARDY_OK) {
        return;
    }
    /* Escaping may make the text longer than the limit for pointers. */
    sfi_buf_init(&out, 16 * SFI_POINTER_MAX_BYTES);
    require(sfi_pointer_encode(&first, &out, NULL) == SHARDY_OK);
    if (out.size <= SFI_POINTER_MAX_BYTES) {
        require(sfi_pointer_parse(sfi_buf_view(&out), &second, NULL) == SHARDY_OK);
        require(strcmp(first.manifest_ref, second.manifest_ref) == 0);
        require(strcmp(first.run_id, second.run_id) == 0);
        require(first.updated_at_us == second.updated_at_us);
        sfi_pointer_clear(&second);
    }
    sfi_pointer_clear(&first);
    sfi_buf_clear(&out);
}

static void check_json(struct sfi_bytes text)
{
    struct sfi_buf first;
    struct sfi_buf second;
    sfi_buf_init(&first, SFI_JSON_MAX_BYTES);
    sfi_buf_init(&second, SFI_JSON_MAX_BYTES);
    shardy_status st = sfi_json_canonical(text, SFI_JSON_SPACED, &first, NULL);
    require((st == SHARDY_OK) == (sfi_json_check_object(text, NULL) == SHARDY_OK));
    if (st == SHARDY_OK) {
        require(sfi_json_canonical(sfi_buf_view(&first), SFI_JSON_SPACED, &second, NULL) ==
                SHARDY_OK);
        require(sfi_bytes_compare(sfi_buf_view(&first), sfi_buf_view(&second)) == 0);
    }
    sfi_buf_clear(&first);
    sfi_buf_clear(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sfi_bytes text = {data, size};
    check_pointer(text);
    if (size < SFI_POINTER_MAX_BYTES) {
        check_json(text);
    }
    return 0;
}
