package server

import (
	"context"
	"errors"
	"io"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-vm/bulkhead/hypervisor/fault"
	"github.com/bulkhead-vm/bulkhead/hypervisor/guest"
	"github.com/bulkhead-vm/bulkhead/hypervisor/node"
	"github.com/bulkhead-vm/bulkhead/hypervisor/spec"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
	bulkheadv1 "github.com/bulkhead-vm/bulkhead/hypervisor/api/v1"
)

const (
	// maxData is how much of a file a message of the client's may carry.
	maxData = 1 << 20
	// maxFiles is how many files a page has.
	maxFiles = 1000
	// pageBytes is how much is in one, up to the file with which it is as much or
	// more: paths may be long.
	pageBytes = 1 << 20
	// permissions are the bits of a mode that a client may set.
	permissions = 0o7777
)

// files implements bulkheadv1.FilesServer.
type files struct {
	bulkheadv1.UnimplementedFilesServer
	node *node.Node
}

// with calls do with the agent of a sandbox's guest, if the path is one.
func (s *files) with(ctx context.Context, sandbox, field, file string, do func(context.Context, *guest.Agent) error) error {
	if err := fault.InvalidRequest(spec.CheckGuestPath(field, file)); err != nil {
		return err
	}
	i, end, err := s.node.Use(sandbox)
	if err != nil {
		return err
	}
	defer end()
	return i.With(ctx, do)
}

// ReadFile implements bulkheadv1.FilesServer.
func (s *files) ReadFile(r *bulkheadv1.ReadFileRequest, stream bulkheadv1.Files_ReadFileServer) error {
	return toStatus(s.with(stream.Context(), r.GetSandbox(), "path", r.GetPath(), func(ctx context.Context, a *guest.Agent) error {
		info, err := a.Stat(ctx, &agentv1.StatRequest{Path: r.GetPath()})
		if err != nil {
			return err
		}
		part := &bulkheadv1.ReadFileResponse_Info{Info: infoOf(r.GetPath(), info.GetInfo())}
		if err := stream.Send(&bulkheadv1.ReadFileResponse{Part: part}); err != nil {
			return err
		}
		return a.ReadFile(ctx, r.GetPath(), r.GetOffset(), r.GetLength(), fileWriter{stream})
	}))
}

// fileWriter sends what it is given to the client.
type fileWriter struct {
	bulkheadv1.Files_ReadFileServer
}

func (w fileWriter) Write(p []byte) (int, error) {
	data := append([]byte(nil), p...) // the stream's, once it is sent
	if err := w.Send(&bulkheadv1.ReadFileResponse{Part: &bulkheadv1.ReadFileResponse_Data{Data: data}}); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteFile implements bulkheadv1.FilesServer.
func (s *files) WriteFile(stream bulkheadv1.Files_WriteFileServer) error {
	first, err := stream.Recv()
	if err != nil {
		return toStatus(err)
	}
	h := first.GetHeader()
	if h == nil {
		return toStatus(fault.InvalidField("header", "the first message must be it"))
	}
	if h.Mode != nil && h.GetMode()&^permissions != 0 {
		return toStatus(fault.InvalidField("header.mode", "only permission bits can be set"))
	}
	var info *agentv1.FileInfo
	err = s.with(stream.Context(), h.GetSandbox(), "header.path", h.GetPath(), func(ctx context.Context, a *guest.Agent) (err error) {
		info, err = a.WriteFile(ctx, &agentv1.WriteFileRequest{
			Path: h.GetPath(), Mode: h.Mode, Uid: h.Uid, Gid: h.Gid, Parents: h.GetParents(),
		}, &fileReader{stream: stream})
		return err
	})
	if err != nil {
		return toStatus(err)
	}
	return stream.SendAndClose(&bulkheadv1.WriteFileResponse{Info: infoOf(h.GetPath(), info)})
}

// fileReader reads what the client sends.
type fileReader struct {
	stream bulkheadv1.Files_WriteFileServer
	rest   []byte
}

func (r *fileReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		m, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		data, ok := m.GetPart().(*bulkheadv1.WriteFileRequest_Data)
		if !ok || len(data.Data) > maxData {
			return 0, fault.InvalidField("part", "after the header comes data, up to 1 MiB in a message")
		}
		r.rest = data.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// ListFiles implements bulkheadv1.FilesServer.
func (s *files) ListFiles(ctx context.Context, r *bulkheadv1.ListFilesRequest) (*bulkheadv1.ListFilesResponse, error) {
	if r.GetPageSize() > maxFiles {
		return nil, toStatus(fault.InvalidField("page_size", "1000 is the most"))
	}
	var page *bulkheadv1.ListFilesResponse
	err := s.with(ctx, r.GetSandbox(), "path", r.GetPath(), func(ctx context.Context, a *guest.Agent) error {
		list, err := a.ReadDir(ctx, &agentv1.ReadDirRequest{Path: r.GetPath(), After: r.GetPageToken(), Limit: r.GetPageSize()})
		if err != nil {
			return err
		}
		page = pageOf(r.GetPath(), list)
		return nil
	})
	if err != nil {
		return nil, toStatus(err)
	}
	return page, nil
}

// pageOf is what a guest says is in a directory, as far as it fits, and without what
// can't be: a client may make files of its own after those names.
func pageOf(dir string, list *agentv1.ReadDirResponse) *bulkheadv1.ListFilesResponse {
	page := &bulkheadv1.ListFilesResponse{}
	all := slices.DeleteFunc(list.GetFiles(), func(f *agentv1.FileInfo) bool { return !isFileName(f.GetName()) })
	size, taken := 0, 0
	for _, f := range all {
		if size >= pageBytes {
			break
		}
		info := infoOf(path.Join(dir, f.GetName()), f)
		page.Files, size, taken = append(page.Files, info), size+proto.Size(info), taken+1
	}
	if taken > 0 && (list.GetMore() || taken < len(all)) {
		page.NextPageToken = all[taken-1].GetName()
	}
	return page
}

func isFileName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= unix.NAME_MAX && !strings.ContainsAny(name, "/\x00")
}

// StatFile implements bulkheadv1.FilesServer.
func (s *files) StatFile(ctx context.Context, r *bulkheadv1.StatFileRequest) (*bulkheadv1.StatFileResponse, error) {
	var info *agentv1.StatResponse
	err := s.with(ctx, r.GetSandbox(), "path", r.GetPath(), func(ctx context.Context, a *guest.Agent) (err error) {
		info, err = a.Stat(ctx, &agentv1.StatRequest{Path: r.GetPath()})
		return err
	})
	if err != nil {
		return nil, toStatus(err)
	}
	return &bulkheadv1.StatFileResponse{Info: infoOf(r.GetPath(), info.GetInfo())}, nil
}

// RemoveFile implements bulkheadv1.FilesServer.
func (s *files) RemoveFile(ctx context.Context, r *bulkheadv1.RemoveFileRequest) (*bulkheadv1.RemoveFileResponse, error) {
	err := s.with(ctx, r.GetSandbox(), "path", r.GetPath(), func(ctx context.Context, a *guest.Agent) error {
		_, err := a.Remove(ctx, &agentv1.RemoveRequest{Path: r.GetPath(), Recursive: r.GetRecursive()})
		return err
	})
	return &bulkheadv1.RemoveFileResponse{}, toStatus(err)
}

// MakeDirectory implements bulkheadv1.FilesServer.
func (s *files) MakeDirectory(ctx context.Context, r *bulkheadv1.MakeDirectoryRequest) (*bulkheadv1.MakeDirectoryResponse, error) {
	mode := uint32(0o755)
	if r.Mode != nil {
		mode = r.GetMode()
	}
	if mode&^permissions != 0 {
		return nil, toStatus(fault.InvalidField("mode", "only permission bits can be set"))
	}
	err := s.with(ctx, r.GetSandbox(), "path", r.GetPath(), func(ctx context.Context, a *guest.Agent) error {
		_, err := a.MakeDir(ctx, &agentv1.MakeDirRequest{Path: r.GetPath(), Mode: mode, Parents: r.GetParents()})
		return err
	})
	return &bulkheadv1.MakeDirectoryResponse{}, toStatus(err)
}

// MakeSymlink implements bulkheadv1.FilesServer.
func (s *files) MakeSymlink(ctx context.Context, r *bulkheadv1.MakeSymlinkRequest) (*bulkheadv1.MakeSymlinkResponse, error) {
	if r.GetTarget() == "" {
		return nil, toStatus(fault.InvalidField("target", "a link leads somewhere"))
	}
	err := s.with(ctx, r.GetSandbox(), "path", r.GetPath(), func(ctx context.Context, a *guest.Agent) error {
		_, err := a.Symlink(ctx, &agentv1.SymlinkRequest{Path: r.GetPath(), Target: r.GetTarget()})
		return err
	})
	return &bulkheadv1.MakeSymlinkResponse{}, toStatus(err)
}

func infoOf(file string, f *agentv1.FileInfo) *bulkheadv1.FileInfo {
	return &bulkheadv1.FileInfo{
		Path: file, Type: typeOf(f.GetMode()), Size: f.GetSize(), Mode: f.GetMode() & permissions,
		Uid: f.GetUid(), Gid: f.GetGid(), ModifyTime: timestamppb.New(time.Unix(0, f.GetModifyTimeNs())), SymlinkTarget: f.GetTarget(),
	}
}

func typeOf(mode uint32) bulkheadv1.FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return bulkheadv1.FileType_FILE_TYPE_REGULAR
	case unix.S_IFDIR:
		return bulkheadv1.FileType_FILE_TYPE_DIRECTORY
	case unix.S_IFLNK:
		return bulkheadv1.FileType_FILE_TYPE_SYMLINK
	}
	return bulkheadv1.FileType_FILE_TYPE_OTHER
}
