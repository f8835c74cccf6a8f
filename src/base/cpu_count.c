/* How many CPUs this process may use: its affinity mask, and the quota of its control group.
 *
 * SPDX-License-Identifier: Apache-2.0
 */
#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"

enum { MAX_CPUS = 1 << 16 };

static int affinity_count(void)
{
    for (int n = 1024; n <= MAX_CPUS; n *= 2) { /* EINVAL: the kernel's mask is wider */
        cpu_set_t *set = CPU_ALLOC((size_t)n);
        if (!set) break;
        size_t size = CPU_ALLOC_SIZE((size_t)n);
        int rc = sched_getaffinity(0, size, set);
        int count = rc == 0 ? CPU_COUNT_S(size, set) : 0;
        CPU_FREE(set);
        if (rc == 0) return count;
        if (errno != EINVAL) break;
    }
    return 1;
}

/* The first line of dir/name, without its newline. */
static bool read_line(const char *dir, const char *name, char *line, int size)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path) return false;
    FILE *f = fopen(path, "re");
    if (!f) return false;
    bool ok = fgets(line, size, f) != NULL;
    fclose(f);
    if (ok) line[strcspn(line, "\n")] = 0;
    return ok;
}

/* CPUs that one group's quota allows, rounded up; 0 for no limit. */
static int group_quota(const char *dir, bool v2)
{
    char line[128];
    long long quota = 0, period = 0;
    if (v2) { /* "max 100000" or "150000 100000" */
        if (!read_line(dir, "cpu.max", line, sizeof line)) return 0;
        if (sscanf(line, "%lld %lld", &quota, &period) != 2) return 0;
    } else {
        if (!read_line(dir, "cpu.cfs_quota_us", line, sizeof line)) return 0;
        quota = strtoll(line, NULL, 10);
        if (!read_line(dir, "cpu.cfs_period_us", line, sizeof line)) return 0;
        period = strtoll(line, NULL, 10);
    }
    if (quota <= 0 || period <= 0) return 0;
    long long cpus = (quota - 1) / period + 1;
    return cpus < MAX_CPUS ? (int)cpus : 0;
}

/* The tightest quota from the group up to the root; 0 for none. In a container the path in
 * /proc/self/cgroup may not exist below the mount: then its root, which is looked at last, is the one. */
static int quota_up_from(const char *root, const char *group, bool v2)
{
    char dir[4096];
    if (snprintf(dir, sizeof dir, "%s%s", root, group) >= (int)sizeof dir) return 0;
    int least = 0;
    for (;;) {
        int cpus = group_quota(dir, v2);
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
        char *slash = strrchr(dir, '/');
        if (!slash || strlen(dir) <= strlen(root)) return least;
        *slash = 0;
    }
}

static int quota_count(void)
{
    FILE *f = fopen("/proc/self/cgroup", "re");
    if (!f) return 0;
    char line[4096];
    int least = 0;
    while (fgets(line, sizeof line, f)) { /* "0::/path" is v2; "4:cpu,cpuacct:/path" is v1 */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = 0;
        controllers++;
        int cpus = 0;
        if (*controllers == 0) {
            cpus = quota_up_from("/sys/fs/cgroup", group, true);
        } else if (strcmp(controllers, "cpu,cpuacct") == 0 || strcmp(controllers, "cpu") == 0) {
            cpus = quota_up_from("/sys/fs/cgroup/cpu,cpuacct", group, false);
            if (cpus == 0) cpus = quota_up_from("/sys/fs/cgroup/cpu", group, false);
        }
        if (cpus > 0 && (least == 0 || cpus < least)) least = cpus;
    }
    fclose(f);
    return least;
}

int mqa_cpu_count(void)
{
    int n = affinity_count(), quota = quota_count();
    if (quota > 0 && quota < n) n = quota;
    return n > 0 ? n : 1;
}
