#include "base/cores.h"

#include <sched.h>
#include <unistd.h>

int process_cores(void)
{
    cpu_set_t cores;
    /* Fails on machines of more cores than the set holds. */
    int n =
        sched_getaffinity(0, sizeof cores, &cores) ? (int)sysconf(_SC_NPROCESSORS_ONLN) : CPU_COUNT(&cores);
    return n > 0 ? n : 1;
}
