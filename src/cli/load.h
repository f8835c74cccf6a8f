/* Load on a completions server: many clients at once in one thread, over libcurl.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_CLI_LOAD_H
#define MQA_CLI_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "cli.h"

typedef struct load_options {
    const char *url;         /* "http://127.0.0.1:8080" */
    const char *const *keys; /* n_keys API keys, used in turn; may be none */
    int n_keys;
    int clients;          /* closed loop: so many at any time */
    double rate;          /* open loop: so many requests a second on average, Poisson; 0: closed loop */
    int64_t n_requests;   /* in all */
    const int64_t *words; /* lengths of prompts in words, n_lengths of them, each as likely as the others */
    int n_lengths;
    int64_t shared_words; /* of a beginning that is common to a share of the requests */
    double shared_part;   /* 0 .. 1 */
    int64_t max_tokens;
    double temperature;
    uint64_t seed;
    double timeout; /* seconds for one request */
} load_options;

/* One request's story; times are seconds from its being due. */
typedef struct load_request {
    int status;         /* of HTTP; 0: no answer came, or it broke off */
    int key;            /* which of keys */
    int64_t n_tokens;   /* events with text */
    double first, last; /* its first and last text; 0 where there was none */
    bool whole;         /* [DONE] came */
} load_request;

/* out: n_requests of them, the caller's. *seconds: how long all took. Exit code 0, 1 or 130. */
int load_run(const load_options *options, load_request *out, double *gaps, size_t gaps_room, size_t *n_gaps,
             double *seconds);

#endif
