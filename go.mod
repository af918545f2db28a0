module github.com/bulkhead-vm/bulkhead

go 1.26
