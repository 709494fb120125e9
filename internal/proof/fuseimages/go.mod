module github.com/holdfast-mq/holdfast/internal/proof/fuseimages

go 1.26.0

require (
	github.com/hanwen/go-fuse/v2 v2.12.1
	github.com/holdfast-mq/holdfast v0.0.0
	go.etcd.io/bbolt v1.5.0
)

require (
	github.com/vmihailenco/msgpack/v5 v5.4.1 // indirect
	github.com/vmihailenco/tagparser/v2 v2.0.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/holdfast-mq/holdfast => ../../..
