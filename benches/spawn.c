/* The floor of a chain: starts a program N times, one after another, with posix_spawn.
   usage: spawn N PROGRAM [ARGUMENT...] */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

extern char **environ;

int main(int count, char **words) {
    if (count < 3) return 2;
    for (long left = strtol(words[1], NULL, 10); left > 0; left--) {
        pid_t child;
        int status;
        if (posix_spawnp(&child, words[2], NULL, NULL, words + 2, environ) != 0) return 4;
        if (waitpid(child, &status, 0) < 0 || status != 0) return 1;
    }
    return 0;
}
