/* The launcher's smaller commands. Each returns the exit status and writes one line to stderr when
 * it fails. */
#ifndef TSB_COMMANDS_H
#define TSB_COMMANDS_H

/* Joins the user namespace at `path` (/proc/PID/ns/user) and the mount namespace beside it, as its
 * root. Returns 0, or -1 after writing to stderr. */
int join_userns(const char *path);

/* hold [UIDMAP GIDMAP]: makes a user and mount namespace with these maps ("INSIDE OUTSIDE COUNT"
 * triples, separated by spaces) or the caller's own id alone, writes "ready" and stays until stdin
 * ends. */
int hold_userns(int argc, char **argv);

/* probe INDEX TAR: mounts a layer's index for a moment. */
int probe_index(int argc, char **argv);

#endif
