/*
 * output_table.c - cells of the `table` format.
 *
 * Widths count code points; wider text overflows; padding leaves trailing spaces; columns are two
 * spaces apart. Which columns a table has is the business of its command.
 */
#include "output.h"

#include "encoding.h"

static void pad(struct out *out, size_t count)
{
    static const char spaces[] = "                                ";

    while (count > 0) {
        size_t part = count < sizeof spaces - 1 ? count : sizeof spaces - 1;

        out_bytes(out, spaces, part);
        count -= part;
    }
}

void table_cell(struct out *out, enum cell_align align, size_t width, const void *text, size_t size)
{
    size_t length = utf8_length(text, size);
    size_t missing = length < width ? width - length : 0;

    if (align == CELL_RIGHT) {
        pad(out, missing);
    }
    out_visible(out, text, size);
    if (align == CELL_LEFT) {
        pad(out, missing);
    }
}

void table_gap(struct out *out)
{
    out_text(out, "  ");
}

void table_rule(struct out *out, size_t width)
{
    for (size_t i = 0; i < width; i++) {
        out_bytes(out, "-", 1);
    }
    out_text(out, "\n");
}
