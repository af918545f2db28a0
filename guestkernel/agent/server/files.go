package server

import (
	"context"

	"github.com/bulkhead-vm/bulkhead/guestkernel/agent/filesystem"

	agentv1 "github.com/bulkhead-vm/bulkhead/guestkernel/agentapi/v1"
)

// Stat describes a file.
func (s *Service) Stat(_ context.Context, r *agentv1.StatRequest) (*agentv1.StatResponse, error) {
	return answer(s, func() (*agentv1.StatResponse, error) {
		info, err := filesystem.Stat(r.GetPath())
		return &agentv1.StatResponse{Info: fileInfo(info)}, err
	})
}

// ReadDir describes a directory's files, a page at a time.
func (s *Service) ReadDir(_ context.Context, r *agentv1.ReadDirRequest) (*agentv1.ReadDirResponse, error) {
	return answer(s, func() (*agentv1.ReadDirResponse, error) {
		files, more, err := filesystem.ReadDir(r.GetPath(), r.GetAfter(), r.GetLimit())
		page := &agentv1.ReadDirResponse{More: more, Files: make([]*agentv1.FileInfo, len(files))}
		for i, info := range files {
			page.Files[i] = fileInfo(info)
		}
		return page, err
	})
}

// MakeDir makes a directory.
func (s *Service) MakeDir(_ context.Context, r *agentv1.MakeDirRequest) (*agentv1.MakeDirResponse, error) {
	return answer(s, func() (*agentv1.MakeDirResponse, error) {
		return &agentv1.MakeDirResponse{}, filesystem.MakeDir(r.GetPath(), r.GetMode(), r.GetParents())
	})
}

// Symlink makes a symbolic link.
func (s *Service) Symlink(_ context.Context, r *agentv1.SymlinkRequest) (*agentv1.SymlinkResponse, error) {
	return answer(s, func() (*agentv1.SymlinkResponse, error) {
		return &agentv1.SymlinkResponse{}, filesystem.Symlink(r.GetPath(), r.GetTarget())
	})
}

// Remove removes a file or directory.
func (s *Service) Remove(_ context.Context, r *agentv1.RemoveRequest) (*agentv1.RemoveResponse, error) {
	return answer(s, func() (*agentv1.RemoveResponse, error) {
		return &agentv1.RemoveResponse{}, filesystem.Remove(r.GetPath(), r.GetRecursive())
	})
}

// ReadFile sends what a file holds.
func (s *Service) ReadFile(ctx context.Context, r *agentv1.ReadFileRequest) (*agentv1.ReadFileResponse, error) {
	return answer(s, func() (*agentv1.ReadFileResponse, error) {
		n, err := s.Files.Read(ctx, r.GetId(), r.GetPath(), r.GetOffset(), r.GetLength())
		return &agentv1.ReadFileResponse{Bytes: n}, err
	})
}

// WriteFile takes what a file is to hold.
func (s *Service) WriteFile(ctx context.Context, r *agentv1.WriteFileRequest) (*agentv1.WriteFileResponse, error) {
	return answer(s, func() (*agentv1.WriteFileResponse, error) {
		a := filesystem.Attributes{Mode: r.Mode, UID: r.Uid, GID: r.Gid}
		info, err := s.Files.Write(ctx, r.GetId(), r.GetPath(), a, r.GetParents())
		return &agentv1.WriteFileResponse{Info: fileInfo(info)}, err
	})
}

// answer does what a call is for in a guest that is set up.
func answer[T any](s *Service, do func() (*T, error)) (*T, error) {
	err := s.checkReady()
	if err != nil {
		return nil, toStatus(err)
	}
	a, err := do()
	if err != nil {
		return nil, toStatus(err)
	}
	return a, nil
}

func fileInfo(i filesystem.Info) *agentv1.FileInfo {
	return &agentv1.FileInfo{
		Name:         i.Name,
		Mode:         i.Mode,
		Size:         i.Size,
		Uid:          i.UID,
		Gid:          i.GID,
		ModifyTimeNs: i.ModifyTime,
		Target:       i.Target,
	}
}
