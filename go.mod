module github.com/kheadersfs/kheadersfs

go 1.25.9

require (
	github.com/hanwen/go-fuse/v2 v2.11.0
	github.com/klauspost/compress v1.20.3
	github.com/spf13/pflag v1.0.10
	github.com/ulikunitz/xz v0.5.17
	golang.org/x/sys v0.46.0
)

require github.com/coreos/go-systemd/v22 v22.7.0
