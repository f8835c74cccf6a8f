/* A folder for a test's files, and small files by bytes.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_GGUF_SCRATCH_H
#define MQA_TESTS_GGUF_SCRATCH_H

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char scratch_dir[64];

static inline int scratch_setup(void **state)
{
    (void)state;
    strcpy(scratch_dir, "/tmp/mqa-gguf-XXXXXX");
    return mkdtemp(scratch_dir) ? 0 : -1;
}

/* name of a file in the folder; valid until the fourth call after. */
static inline const char *scratch(const char *name)
{
    static char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_dir, name);
    return path;
}

static inline int scratch_n_files(void)
{
    int n = 0;
    DIR *dir = opendir(scratch_dir);
    for (const struct dirent *e; dir && (e = readdir(dir));) n += e->d_name[0] != '.' || e->d_name[1] > '.';
    if (dir) closedir(dir);
    return n;
}

static inline int scratch_teardown(void **state)
{
    (void)state;
    DIR *dir = opendir(scratch_dir);
    for (const struct dirent *e; dir && (e = readdir(dir));)
        if (e->d_name[0] != '.') unlink(scratch(e->d_name));
    if (dir) closedir(dir);
    return rmdir(scratch_dir); /* fails if something was left, hidden or not */
}

static inline int scratch_write(const char *path, const void *data, size_t size)
{
    FILE *f = fopen(path, "wb");
    if (f == NULL) return -1;
    const int ok = fwrite(data, 1, size, f) == size;
    return fclose(f) == 0 && ok ? 0 : -1;
}

static inline uint8_t *scratch_read(const char *path, size_t *size)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) return NULL;
    uint8_t *data = malloc(1 << 20);
    *size = fread(data, 1, 1 << 20, f);
    fclose(f);
    return data;
}

#endif
