/* How many threads are of use. */
#ifndef BASE_CORES_H
#define BASE_CORES_H

/* Cores that this process may run on, at least 1: what taskset and sets of cores leave of the machine's. */
int process_cores(void);

#endif
