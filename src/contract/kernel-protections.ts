/**
 * Links, pipes and files in directories that everybody may write to are followed and opened only where they cannot be a trap:
 * the kernel's settings for it, with the least value of each. The host's kernel decides it for all servers, whose own root cannot.
 */
export const KERNEL_PROTECTIONS: Readonly<Record<string, number>> = {
  "fs.protected_symlinks": 1,
  "fs.protected_hardlinks": 1,
  "fs.protected_fifos": 1,
  // 2: also where only a group may write.
  "fs.protected_regular": 2,
};
