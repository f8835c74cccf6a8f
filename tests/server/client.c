/* SPDX-License-Identifier: Apache-2.0 */
#include "client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int client_connect(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0) abort();
    return fd;
}

void client_send(int fd, const char *text)
{
    for (size_t left = strlen(text); left > 0;) {
        const ssize_t n = send(fd, text, left, MSG_NOSIGNAL);
        if (n <= 0) return; /* it was closed: the answer tells */
        text += n;
        left -= (size_t)n;
    }
}

char *client_read(int fd, const char *until, double seconds)
{
    size_t n = 0, room = 4096;
    char *text = calloc(1, room);
    const double end = now() + seconds;
    while (text && !(until && strstr(text, until))) {
        const double left = end - now();
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left <= 0 || poll(&p, 1, (int)(1000 * left) + 1) <= 0) break;
        if (n + 1 == room && !(text = realloc(text, room *= 2))) abort();
        const ssize_t got = recv(fd, text + n, room - n - 1, 0);
        if (got <= 0) break;
        n += (size_t)got;
        text[n] = 0;
    }
    return text;
}

char *client_ask(int port, const char *method, const char *path, const char *headers, const char *body)
{
    const int fd = client_connect(port);
    char head[2048];
    snprintf(head, sizeof head,
             "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", method, path,
             headers ? headers : "", body ? strlen(body) : 0);
    client_send(fd, head);
    if (body) client_send(fd, body);
    char *answer = client_read(fd, NULL, 60);
    close(fd);
    return answer;
}

int client_status(const char *answer)
{
    int status = 0;
    return answer && sscanf(answer, "HTTP/1.1 %d", &status) == 1 ? status : 0;
}
