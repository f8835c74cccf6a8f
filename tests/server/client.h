/* A client of raw bytes, for what no well-behaved client sends.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#ifndef MQA_TESTS_SERVER_CLIENT_H
#define MQA_TESTS_SERVER_CLIENT_H

#include <stddef.h>

int client_connect(int port);
void client_send(int fd, const char *text);
/* All until the server closes or `until` (may be NULL) has come, or seconds have passed; freed by the caller.
 */
char *client_read(int fd, const char *until, double seconds);
/* A whole request on a connection of its own, its answer with headers. */
char *client_ask(int port, const char *method, const char *path, const char *headers, const char *body);
int client_status(const char *answer); /* 0: none */

#endif
