/*
 * writer_spill.c - the spill file: sorted runs of rows that did not fit the memory limit. One
 * temporary file without a name, so that a killed process leaves nothing behind.
 *
 * Record: [key length, LEB128, unless all keys have one fixed length] [value length, LEB128] key
 * value. Private to one process; never read by anybody else.
 */
#include "base/memory.h"
#include "writer/writer_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define WRITE_BUFFER   (1u << 20)
#define PREFETCH_BYTES 512u

shardy_status sfi_spill_open(struct sfi_spill_file *file, const char *dir, shardy_error *err)
{
    if (file->fd >= 0) {
        return SHARDY_OK;
    }
    file->dir = dir;
    file->fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file->fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        char path[4096];
        int n = snprintf(path, sizeof path, "%s/shardyfusion-spill-XXXXXX", dir);
        file->fd = n < (int)sizeof path ? mkostemp(path, O_CLOEXEC) : -1;
        if (file->fd >= 0) {
            unlink(path);
        }
    }
    if (file->fd < 0) {
        return sfi_fail_errno(err, SHARDY_IO, errno,
                              "cannot create a spill file in %s; set spill_dir or raise "
                              "memory_limit_bytes",
                              dir);
    }
    return SHARDY_OK;
}

void sfi_spill_close(struct sfi_spill_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}

static unsigned leb_put(uint8_t *p, uint32_t value)
{
    unsigned n = 0;
    while (value >= 0x80) {
        p[n++] = (uint8_t)(value | 0x80u);
        value >>= 7;
    }
    p[n++] = (uint8_t)value;
    return n;
}

/* 0 when cut off. */
static unsigned leb_get(const uint8_t *p, size_t size, uint32_t *value)
{
    uint64_t v = 0;
    for (unsigned n = 0; n < 5 && n < size; n++) {
        v |= (uint64_t)(p[n] & 0x7Fu) << (7 * n);
        if (!(p[n] & 0x80u)) {
            *value = (uint32_t)v;
            return n + 1;
        }
    }
    return 0;
}

uint64_t sfi_spill_reserve(struct sfi_spill_file *file, uint64_t size)
{
    pthread_mutex_lock(&file->lock);
    uint64_t offset = file->size;
    file->size += size;
    pthread_mutex_unlock(&file->lock);
    return offset;
}

void sfi_spill_discard(const struct sfi_spill_file *file, const struct sfi_run *run)
{
    if (run->size) {
        (void)fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)run->offset,
                        (off_t)run->size);
    }
}

static shardy_status write_all(const struct sfi_spill_file *file, const uint8_t *data, size_t size,
                               uint64_t offset, shardy_error *err)
{
    while (size) {
        ssize_t n = pwrite(file->fd, data, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return sfi_fail_errno(err, SHARDY_IO, n < 0 ? errno : ENOSPC,
                                  "cannot write %zu bytes of sorted rows to the spill file in %s; "
                                  "free space, set spill_dir or raise memory_limit_bytes",
                                  size, file->dir);
        }
        data += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return SHARDY_OK;
}

/*
 * Start writing to the disk, and let go of what was written a while ago: it is next needed when
 * all rows have come, and the pages serve the rows to come. Advice: failures change nothing.
 */
static void write_behind(struct sfi_spill_file *file, uint64_t offset, uint64_t size)
{
    (void)sync_file_range(file->fd, (off_t)offset, (off_t)size, SYNC_FILE_RANGE_WRITE);
    pthread_mutex_lock(&file->lock);
    struct sfi_spill_extent *slot = &file->behind[file->behind_next++ % SFI_SPILL_BEHIND];
    struct sfi_spill_extent old = *slot;
    slot->offset = offset;
    slot->size = size;
    pthread_mutex_unlock(&file->lock);
    if (old.size) {
        (void)sync_file_range(file->fd, (off_t)old.offset, (off_t)old.size,
                              SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE |
                                  SYNC_FILE_RANGE_WAIT_AFTER);
        (void)posix_fadvise(file->fd, (off_t)old.offset, (off_t)old.size, POSIX_FADV_DONTNEED);
    }
}

shardy_status sfi_spill_flush(struct sfi_spill_writer *writer, shardy_error *err)
{
    if (!writer->buf.size) {
        return SHARDY_OK;
    }
    SFI_RETURN_IF_ERR(
        write_all(writer->file, writer->buf.data, writer->buf.size, writer->offset, err));
    write_behind(writer->file, writer->offset, writer->buf.size);
    writer->offset += writer->buf.size;
    writer->buf.size = 0;
    return SHARDY_OK;
}

shardy_status sfi_spill_put(struct sfi_spill_writer *writer, const struct sfi_row *row,
                            shardy_error *err)
{
    uint8_t header[16];
    unsigned n = writer->fixed_keys ? 0 : leb_put(header, row->key_size);
    n += leb_put(header + n, row->value_size);
    size_t size = n + (size_t)row->key_size + row->value_size;
    uint8_t *at = sfi_buf_reserve(&writer->buf, size);
    if (!at) {
        return sfi_buf_status(&writer->buf, "spill buffer", err);
    }
    memcpy(at, header, n);
    if (row->key_size) {
        memcpy(at + n, row->key, row->key_size);
    }
    if (row->value_size) {
        memcpy(at + n + row->key_size, row->value, row->value_size);
    }
    writer->buf.size += size;
    return writer->buf.size >= WRITE_BUFFER ? sfi_spill_flush(writer, err) : SHARDY_OK;
}

shardy_status sfi_run_open(struct sfi_run_reader *reader, const struct sfi_spill_file *file,
                           const struct sfi_run *run, size_t buffer, uint32_t fixed_key_size,
                           shardy_error *err)
{
    memset(reader, 0, sizeof *reader);
    reader->file = file;
    reader->offset = run->offset;
    reader->left = run->size;
    reader->key_size = fixed_key_size;
    reader->capacity = buffer < run->size ? buffer : (size_t)run->size;
    reader->buf = sfi_malloc(reader->capacity);
    return reader->buf ? SHARDY_OK : sfi_fail_memory(err, reader->capacity);
}

void sfi_run_close(struct sfi_run_reader *reader)
{
    sfi_free(reader->buf);
    reader->buf = NULL;
}

/* Lengths of the record at `begin`; 0 when they are not all buffered. */
static unsigned record_header(const struct sfi_run_reader *reader, uint32_t *key_size,
                              uint32_t *value_size)
{
    const uint8_t *p = reader->buf + reader->begin;
    size_t have = reader->end - reader->begin;
    unsigned n = 0;
    *key_size = reader->key_size;
    if (!reader->key_size) {
        n = leb_get(p, have, key_size);
        if (!n) {
            return 0;
        }
    }
    unsigned m = leb_get(p + n, have - n, value_size);
    return m ? n + m : 0;
}

bool sfi_run_needs_read(const struct sfi_run_reader *reader)
{
    uint32_t key_size;
    uint32_t value_size;
    unsigned n = record_header(reader, &key_size, &value_size);
    return reader->left > 0 &&
           (!n || reader->end - reader->begin < n + (uint64_t)key_size + value_size);
}

/* Have at least `need` bytes buffered. */
static shardy_status fill(struct sfi_run_reader *reader, uint64_t need, shardy_error *err)
{
    size_t have = reader->end - reader->begin;
    if (need > reader->capacity) {
        uint8_t *buf = sfi_malloc((size_t)need);
        if (!buf) {
            return sfi_fail_memory(err, (size_t)need);
        }
        memcpy(buf, reader->buf + reader->begin, have);
        sfi_free(reader->buf);
        reader->buf = buf;
        reader->capacity = (size_t)need;
    } else {
        memmove(reader->buf, reader->buf + reader->begin, have);
    }
    reader->begin = 0;
    reader->end = have;
    while (reader->end < reader->capacity && reader->left) {
        size_t room = reader->capacity - reader->end;
        size_t want = reader->left < room ? (size_t)reader->left : room;
        ssize_t n = pread(reader->file->fd, reader->buf + reader->end, want, (off_t)reader->offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return sfi_fail_errno(err, SHARDY_IO, n < 0 ? errno : EIO,
                                  "cannot read back the spill file in %s", reader->file->dir);
        }
        /* Nobody reads it again. */
        (void)posix_fadvise(reader->file->fd, (off_t)reader->offset, n, POSIX_FADV_DONTNEED);
        reader->end += (size_t)n;
        reader->offset += (uint64_t)n;
        reader->left -= (uint64_t)n;
    }
    if (reader->left) {
        uint64_t ahead = reader->left < reader->capacity ? reader->left : reader->capacity;
        (void)posix_fadvise(reader->file->fd, (off_t)reader->offset, (off_t)ahead,
                            POSIX_FADV_WILLNEED);
    }
    return SHARDY_OK;
}

/* The next record, likely about as long as the last: other runs come first, so there is time. */
static void prefetch_record(const struct sfi_run_reader *reader, size_t size)
{
    size = size < PREFETCH_BYTES ? size : PREFETCH_BYTES;
    for (size_t at = 0; at < size; at += 64) {
        __builtin_prefetch(reader->buf + reader->begin + at);
    }
}

shardy_status sfi_run_next(struct sfi_run_reader *reader, struct sfi_row *row, bool *found,
                           shardy_error *err)
{
    uint32_t key_size;
    uint32_t value_size;
    *found = reader->begin < reader->end || reader->left;
    if (!*found) {
        return SHARDY_OK;
    }
    unsigned n = record_header(reader, &key_size, &value_size);
    if (!n) {
        SFI_RETURN_IF_ERR(fill(reader, 16, err));
        n = record_header(reader, &key_size, &value_size);
    }
    uint64_t size = n + (uint64_t)key_size + value_size;
    if (reader->end - reader->begin < size) {
        SFI_RETURN_IF_ERR(fill(reader, size, err));
    }
    if (!n || reader->end - reader->begin < size) {
        return sfi_fail(err, SHARDY_IO, "spill file in %s was changed by somebody else",
                        reader->file->dir);
    }
    row->key = reader->buf + reader->begin + n;
    row->key_size = key_size;
    row->value = row->key + key_size;
    row->value_size = value_size;
    reader->begin += (size_t)size;
    prefetch_record(reader, (size_t)size);
    return SHARDY_OK;
}
