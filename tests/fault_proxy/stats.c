/*
 * stats.c - what the proxy saw since the last reset: totals, one record for each request, and the
 * number of dependent rounds, which is the longest chain of requests of which each one started
 * after the answer of the one before had ended (interval scheduling: greedy by end).
 */
#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    uint64_t epoch; /* counts resets: a request of before does not count after */
    uint64_t since_ns;
    uint64_t requests, connections, in_flight, max_in_flight, faults, aborted;
    uint64_t bytes[4]; /* request, answer, request body, answer body */
    struct record *records;
    size_t count, size;
} stats;

void stats_reset(uint64_t now)
{
    for (size_t i = 0; i < stats.count; i++) {
        free(stats.records[i].method);
        free(stats.records[i].target);
        free(stats.records[i].range);
    }
    struct record *records = stats.records;
    size_t size = stats.size;
    uint64_t epoch = stats.epoch;
    memset(&stats, 0, sizeof stats);
    stats.epoch = epoch + 1;
    stats.since_ns = now;
    stats.records = records;
    stats.size = size;
}

void stats_connection(void)
{
    stats.connections++;
}

uint64_t stats_start(const struct head *head, uint64_t now, uint64_t connection, size_t *index,
                     uint64_t *epoch)
{
    stats.requests++;
    stats.in_flight++;
    if (stats.in_flight > stats.max_in_flight) {
        stats.max_in_flight = stats.in_flight;
    }
    *epoch = stats.epoch;
    *index = SIZE_MAX;
    if (stats.count == LOG_MAX) {
        return stats.requests;
    }
    if (stats.count == stats.size) {
        stats.size = stats.size ? stats.size * 2 : 1024;
        stats.records = must(realloc(stats.records, stats.size * sizeof *stats.records));
    }
    *index = stats.count++;
    stats.records[*index] = (struct record){
        .number = stats.requests,
        .start_ns = now,
        .connection = connection,
        .method = copy_text(head->method, strlen(head->method)),
        .target = copy_text(head->target, head->target_size),
        .range = copy_text(head->range, strlen(head->range)),
        .fault = "",
    };
    return stats.requests;
}

void stats_fault(size_t index, uint64_t epoch, const char *fault)
{
    if (epoch == stats.epoch) {
        stats.faults++;
        if (index != SIZE_MAX) {
            stats.records[index].fault = fault;
        }
    }
}

void stats_finish(size_t index, uint64_t epoch, uint64_t now, int status, bool aborted,
                  const uint64_t bytes[4])
{
    if (epoch != stats.epoch) {
        return;
    }
    stats.in_flight--;
    stats.aborted += aborted;
    for (size_t i = 0; i < 4; i++) {
        stats.bytes[i] += bytes[i];
    }
    if (index == SIZE_MAX) {
        return;
    }
    struct record *record = &stats.records[index];
    record->end_ns = now;
    record->status = status;
    record->aborted = aborted;
    record->request_bytes = bytes[0];
    record->response_bytes = bytes[1];
    record->request_body = bytes[2];
    record->response_body = bytes[3];
}

struct interval {
    uint64_t start, end;
};

static int by_end(const void *a, const void *b)
{
    const struct interval *x = a, *y = b;
    return x->end < y->end ? -1 : x->end > y->end;
}

static size_t rounds(void)
{
    size_t chain = 0;
    uint64_t last = 0;
    struct interval *intervals = must(calloc(stats.count + 1, sizeof *intervals));
    for (size_t i = 0; i < stats.count; i++) {
        intervals[i].start = stats.records[i].start_ns;
        intervals[i].end = stats.records[i].end_ns ? stats.records[i].end_ns : UINT64_MAX;
    }
    qsort(intervals, stats.count, sizeof *intervals, by_end);
    for (size_t i = 0; i < stats.count; i++) {
        if (intervals[i].start >= last) {
            last = intervals[i].end;
            chain++;
        }
    }
    free(intervals);
    return chain;
}

static uint64_t relative_us(uint64_t ns)
{
    return ns > stats.since_ns ? (ns - stats.since_ns) / 1000 : 0;
}

static void record_json(struct buf *out, const struct record *record)
{
    buf_format(out, "{\"number\":%llu,\"method\":", (unsigned long long)record->number);
    buf_json(out, record->method);
    buf_text(out, ",\"target\":");
    buf_json(out, record->target);
    buf_text(out, ",\"range\":");
    buf_json(out, record->range);
    buf_text(out, ",\"fault\":");
    buf_json(out, record->fault);
    buf_format(out,
               ",\"status\":%d,\"connection\":%llu,\"start_us\":%llu,\"end_us\":%llu,"
               "\"request_bytes\":%llu,\"response_bytes\":%llu,\"request_body_bytes\":%llu,"
               "\"response_body_bytes\":%llu,\"aborted\":%s}",
               record->status, (unsigned long long)record->connection,
               (unsigned long long)relative_us(record->start_ns),
               (unsigned long long)relative_us(record->end_ns),
               (unsigned long long)record->request_bytes,
               (unsigned long long)record->response_bytes, (unsigned long long)record->request_body,
               (unsigned long long)record->response_body, record->aborted ? "true" : "false");
}

void stats_json(struct buf *out, bool with_log)
{
    static const char *const names[] = {"request_bytes", "response_bytes", "request_body_bytes",
                                        "response_body_bytes"};
    buf_format(out,
               "{\"requests\":%llu,\"connections\":%llu,\"in_flight\":%llu,\"max_in_flight\":%llu,"
               "\"faults\":%llu,\"aborted\":%llu,\"rounds\":%zu",
               (unsigned long long)stats.requests, (unsigned long long)stats.connections,
               (unsigned long long)stats.in_flight, (unsigned long long)stats.max_in_flight,
               (unsigned long long)stats.faults, (unsigned long long)stats.aborted, rounds());
    for (size_t i = 0; i < 4; i++) {
        buf_format(out, ",\"%s\":%llu", names[i], (unsigned long long)stats.bytes[i]);
    }
    buf_format(out, ",\"logged\":%zu", stats.count);
    if (with_log) {
        buf_text(out, ",\"log\":[");
        for (size_t i = 0; i < stats.count; i++) {
            buf_text(out, i ? "," : "");
            record_json(out, &stats.records[i]);
        }
        buf_text(out, "]");
    }
    buf_text(out, "}\n");
}

/* The same for C programs: a line with the number of records, then one line each, tabs between. */
void stats_table(struct buf *out)
{
    buf_format(out, "%zu\n", stats.count);
    for (size_t i = 0; i < stats.count; i++) {
        const struct record *record = &stats.records[i];
        buf_format(
            out, "%llu\t%s\t%d\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%llu\t%d\t%s\t%s\t",
            (unsigned long long)record->number, record->method, record->status,
            (unsigned long long)record->connection,
            (unsigned long long)relative_us(record->start_ns),
            (unsigned long long)relative_us(record->end_ns),
            (unsigned long long)record->request_bytes, (unsigned long long)record->response_bytes,
            (unsigned long long)record->request_body, (unsigned long long)record->response_body,
            record->aborted, record->fault, record->range);
        buf_text(out, record->target);
        buf_text(out, "\n");
    }
}
