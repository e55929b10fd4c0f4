/*
 * store_s3.c - s3://bucket/prefix: opening, closing, forks. One HTTP client and one credential
 * provider a store; nothing is asked before the first request.
 *
 * What requests do is in store_s3_object.c, _list.c and _upload.c, on top of store_s3_call.c.
 */
#include "store/store_s3_internal.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/timestamp.h"

#include <unistd.h>

static void reset_synced(struct sfi_s3_store *store)
{
    pthread_mutex_init(&store->synced.lock, NULL);
    pthread_cond_init(&store->synced.idle, NULL);
    store->synced.calls = NULL;
    store->synced.random ^= sfi_monotonic_us() ^ ((uint64_t)getpid() << 32);
}

/*
 * After fork() the lock may be held by a thread that does not exist here, and the calls belong to
 * the parent: start with new ones. What was learnt from the server stays.
 */
void sfi_s3_enter(struct sfi_s3_store *store)
{
    pid_t self = getpid();
    pid_t owner = atomic_load(&store->owner);
    while (owner != self) {
        /* 0 marks a child that is just doing this in another thread. */
        if (owner && atomic_compare_exchange_strong(&store->owner, &owner, 0)) {
            reset_synced(store);
            atomic_store(&store->owner, self);
            return;
        }
        owner = atomic_load(&store->owner);
    }
}

static void destroy(struct sfi_s3_store *store)
{
    pthread_mutex_lock(&store->synced.lock);
    store->synced.closing = true;
    for (struct sfi_s3_call *call = store->synced.calls; call; call = call->next) {
        sfi_s3_call_cancel(call);
    }
    while (store->synced.calls) {
        pthread_cond_wait(&store->synced.idle, &store->synced.lock);
    }
    pthread_mutex_unlock(&store->synced.lock);
    sfi_http_client_free(store->client);
    sfi_credential_provider_free(store->provider);
    pthread_cond_destroy(&store->synced.idle);
    pthread_mutex_destroy(&store->synced.lock);
    sfi_s3_config_clear(&store->config);
    sfi_free(store);
}

static void *destroy_elsewhere(void *arg)
{
    destroy(arg);
    return NULL;
}

/* The last reference may go in a callback, on a thread of the store, which cannot end itself. */
static void s3_close(struct sfi_store *base)
{
    struct sfi_s3_store *store = sfi_s3_of(base);
    pthread_t thread;
    sfi_s3_enter(store);
    if (sfi_http_on_thread(store->client) || sfi_credentials_on_thread(store->provider)) {
        if (pthread_create(&thread, NULL, destroy_elsewhere, store) == 0) {
            pthread_detach(thread);
        }
        return;
    }
    destroy(store);
}

static const struct sfi_store_ops s_ops = {
    .scheme = "s3",
    .remote = true,
    .conditional = true,
    .submit = sfi_s3_submit,
    .cancel = sfi_s3_cancel,
    .delete_many = sfi_s3_delete_many,
    .list = sfi_s3_list,
    .upload = sfi_s3_upload,
    .close = s3_close,
};

static shardy_status open_clients(struct sfi_s3_store *store, shardy_error *err)
{
    const struct sfi_s3_config *config = &store->config;
    const struct sfi_http_options http = {
        .max_connections = (unsigned)config->max_connections,
        .connect_timeout_ms = config->connect_timeout_ms,
        .stall_timeout_ms = config->read_timeout_ms,
        .ca_file = config->ca_file,
        .insecure_tls = config->insecure,
        .http2 = config->http2,
    };
    const struct sfi_credentials_options credentials = {
        .access_key_id = config->access_key_id,
        .secret_access_key = config->secret_access_key,
        .session_token = config->session_token,
        .profile = config->profile,
        .region = config->region,
        .ca_file = config->ca_file,
        .anonymous = config->anonymous,
        .observer = &store->observer,
    };
    SFI_RETURN_IF_ERR(sfi_http_client_new(&http, &store->client, err));
    return sfi_credential_provider_new(&credentials, &store->provider, err);
}

shardy_status sfi_store_s3_open(const char *url, const struct sfi_store_options *options,
                                struct sfi_store **out, shardy_error *err)
{
    struct sfi_s3_store *store = sfi_calloc(1, sizeof *store);
    shardy_status st;
    if (!store) {
        return sfi_fail_memory(err, sizeof *store);
    }
    if (options && options->observer) {
        store->observer = *options->observer;
    }
    atomic_init(&store->owner, getpid());
    reset_synced(store);
    sfi_s3_throttle_init(&store->synced.throttle);
    SFI_TRY(sfi_s3_config_read(url, options, &store->config, err));
    store->synced.checksum = store->config.checksum;
    memcpy(store->synced.region, store->config.region, sizeof store->synced.region);
    SFI_TRY(open_clients(store, err));
    SFI_TRY(sfi_store_init(&store->base, &s_ops, url, err));
    *out = &store->base;
    return SHARDY_OK;
out:
    sfi_free(store->base.url);
    destroy(store);
    return st;
}
