# A repository whose directory 'app' is a context; 'served' also has archives of it.
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
export GIT_AUTHOR_DATE='1600000000 +0000' GIT_COMMITTER_DATE='1600000000 +0000'
cp -r project work
cd work
git -c init.defaultBranch=main init -q
git add .
git commit -q -m first
git clone -q --bare . ../served/project.git
rm -rf .git
tar --owner=7 --group=8 --numeric-owner -czf ../served/project.tar.gz .
tar -C app --owner=0 --group=0 -cf ../served/app.tar .
