/*
 * count_rows.c - print the version of the library and the number of rows of a snapshot.
 *
 * Usage: count_rows file:///absolute/folder
 */
#include <inttypes.h>
#include <stdio.h>

#include <shardyfusion/shardyfusion.h>

int main(int argc, char **argv)
{
    shardy_error err = SHARDY_ERROR_INIT;
    shardy_reader_options options = SHARDY_READER_OPTIONS_INIT;
    shardy_snapshot_info info = {0};
    shardy_reader *reader = NULL;
    shardy_status status;

    options.url = argc == 2 ? argv[1] : "";
    status = shardy_reader_open(&options, &reader, &err);
    if (status == SHARDY_OK)
        status = shardy_reader_info(reader, &info, &err);
    if (status == SHARDY_OK)
        printf("shardyfusion %s: %" PRIu64 " rows\n", shardy_version(), info.row_count);
    else
        fprintf(stderr, "%s: %s\n", shardy_status_name(status), err.message);
    shardy_snapshot_info_clear(&info);
    shardy_reader_free(reader);
    return status == SHARDY_OK ? 0 : 1;
}
