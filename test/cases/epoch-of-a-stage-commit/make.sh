# A repository with a directory, a program, a link; tag v1 (annotated) and branch main, which is one commit further.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000'
mkdir -p served work/dir
cd work
git -c init.defaultBranch=main init -q
echo first >file
echo deep >dir/deep
printf '#!/bin/sh\n' >dir/program
chmod 755 dir/program
ln -s ../file dir/link
git add .
git commit -q -m first
git tag -a -m 'version 1' v1
echo second >file
git commit -q -a -m second
git clone -q --bare . ../served/project.git
