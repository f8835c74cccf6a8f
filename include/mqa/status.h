/* Status codes and error details: how every call of mqa says what went wrong.
 *
 * Every function that can fail returns an mqa_status and, where it takes one, fills a caller-owned
 * mqa_error with one line that says what was wrong, where, and what to do. A NULL mqa_error is fine.
 * No function of the library prints, exits or aborts on bad input.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_STATUS_H
#define MQA_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define MQA_API
#elif defined(__GNUC__)
#define MQA_API __attribute__((visibility("default")))
#else
#define MQA_API
#endif

/* The numbers are stable: they are part of the ABI, appear in logs, and are never reused. */
typedef enum mqa_status {
    MQA_OK = 0,
    MQA_ERR_INVALID_ARGUMENT = 1, /* the caller's mistake: a shape, pointer or option out of range */
    MQA_ERR_OUT_OF_MEMORY = 2,    /* the allocator returned NULL */
    MQA_ERR_BUDGET = 3,           /* a byte budget or a page limit would be exceeded; nothing changed */
    MQA_ERR_UNSUPPORTED = 4,      /* valid, but not something this build or this CPU can do */
    MQA_ERR_IO = 5,               /* the operating system refused: open, map, read, write */
    MQA_ERR_FORMAT = 6,           /* a file's content is damaged or hostile; the message names the field */
    MQA_ERR_NOT_FINITE = 7,       /* NaN or infinity where the contract asks for finite numbers */
    MQA_ERR_CANCELLED = 8,        /* stopped on request */
    MQA_ERR_NOT_FOUND = 9,        /* a key, tensor, token or file that isn't there */
    MQA_ERR_INTERNAL = 10         /* a bug in mqa: please report it */
} mqa_status;

/* Details of the last failure of a call. Owned by the caller; may be reused from call to call. */
typedef struct mqa_error {
    mqa_status status;
    char message[512]; /* one line, UTF-8, always terminated, no newline */
} mqa_error;

/* The enum's name ("MQA_ERR_BUDGET"), never NULL. Thread safe. */
MQA_API const char *mqa_status_name(mqa_status status);

/* A short sentence for people ("a budget would be exceeded"), never NULL. Thread safe. */
MQA_API const char *mqa_status_message(mqa_status status);

#ifdef __cplusplus
}
#endif

#endif
