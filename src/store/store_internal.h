/*
 * store_internal.h - shared by the store implementations; nobody else includes it.
 */
#ifndef SFI_STORE_STORE_INTERNAL_H
#define SFI_STORE_STORE_INTERNAL_H

#include "store/store.h"

/* Set the common part of a new store. `url` is copied. Frees nothing on failure. */
shardy_status sfi_store_init(struct sfi_store *store, const struct sfi_store_ops *ops,
                             const char *url, shardy_error *err);

/* Openers by scheme; `url` is normalised: scheme, path without trailing or double slashes. */
shardy_status sfi_store_dir_open(const char *url, const struct sfi_store_options *options,
                                 struct sfi_store **store, shardy_error *err);
shardy_status sfi_store_memory_open(const char *url, const struct sfi_store_options *options,
                                    struct sfi_store **store, shardy_error *err);
shardy_status sfi_store_s3_open(const char *url, const struct sfi_store_options *options,
                                struct sfi_store **store, shardy_error *err);

/* Quoted XXH3-128 of the content: the ETag of small objects. */
void sfi_store_content_etag(struct sfi_bytes content, char etag[SFI_ETAG_SIZE]);

/* Cut `whole` to the request's range and append it to request->data. LIMIT, NO_MEMORY. */
shardy_status sfi_store_answer_get(struct sfi_store_request *request, struct sfi_bytes whole);
/* Bytes a GET of an object of `size` bytes answers; LIMIT when more than max_bytes. */
shardy_status sfi_store_range(const struct sfi_store_request *request, uint64_t size,
                              uint64_t *offset, uint64_t *length, shardy_error *err);

/* Growing list of entries; `name` is copied. */
shardy_status sfi_store_list_add(struct sfi_store_list *list, size_t *capacity, const char *name,
                                 size_t name_size, bool is_prefix, uint64_t size,
                                 shardy_error *err);
/* Sort by name, objects before prefixes of the same name. */
void sfi_store_list_sort(struct sfi_store_list *list);

#endif
