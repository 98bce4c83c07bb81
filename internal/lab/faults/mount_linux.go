package main

import (
	"fmt"
	"os"
	"syscall"
)

// mountSmall mounts a tmpfs that belongs to the owner of another directory.
func mountSmall(dir, like string, bytes int) error {
	info, err := os.Stat(like)
	if err != nil {
		return err
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: no owner", like)
	}
	return syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,uid=%d,gid=%d,mode=0700", bytes, owner.Uid, owner.Gid))
}

// unmount takes a disk away, at once from the tree of files and when the last file is closed altogether.
func unmount(dir string) error { return syscall.Unmount(dir, 2 /* MNT_DETACH */) }
