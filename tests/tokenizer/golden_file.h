/* The golden files of scripts/golden_tokenizer.py: lines of cells, TAB between, texts in hex.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef GOLDEN_FILE_H
#define GOLDEN_FILE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_CELLS 32

typedef struct golden_line {
    char *buffer, *cells[GOLDEN_CELLS];
    size_t capacity;
    int n_cells;
} golden_line;

static inline int golden_next(FILE *file, golden_line *line)
{
    if (getline(&line->buffer, &line->capacity, file) < 0) return 0;
    line->buffer[strcspn(line->buffer, "\n")] = 0;
    line->n_cells = 0;
    for (char *rest = line->buffer; rest && line->n_cells < GOLDEN_CELLS;)
        line->cells[line->n_cells++] = strsep(&rest, "\t");
    return 1;
}

/* In place; a 0 follows. Returns the bytes. */
static inline size_t golden_unhex(char *hex)
{
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte = 0;
        sscanf(hex + 2 * i, "%2x", &byte);
        hex[i] = (char)byte;
    }
    hex[n] = 0;
    return n;
}

/* Whether the cell's comma-separated numbers are these. */
static inline int golden_same(const char *cell, const int *numbers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *end;
        if (*cell == 0 || strtol(cell, &end, 10) != numbers[i]) return 0;
        cell = *end == ',' ? end + 1 : end;
    }
    return *cell == 0;
}

static inline FILE *golden_open(const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", MQA_TEST_DATA, name);
    return fopen(path, "r");
}

#endif
